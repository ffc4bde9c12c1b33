//! Reads the sources and fails on what the house rules forbid: arrows against the picture in
//! `src/lib.rs`, unsafe code out of its places, other clocks, long files and functions, words for
//! work not done.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

/// What a top module may name of the others. `main` may name all.
const ARROWS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("clock", &["limits"]),
    ("sync", &[]),
    ("buf", &["limits"]),
    ("metrics", &["limits", "sync"]),
    ("memory", &["limits"]),
    ("heap", &["limits"]),
    ("protocol", &["watch", "buf", "limits", "clock", "metrics"]),
    ("watch", &["limits", "clock", "sync"]),
    ("store", &["watch", "buf", "limits", "clock", "metrics", "sync"]),
    ("file", &[]),
    ("auth", &["file", "limits", "clock"]),
    ("tls", &["file", "limits", "clock"]),
    ("discovery", &["file", "limits"]),
    (
        "session",
        &[
            "protocol",
            "store",
            "auth",
            "discovery",
            "watch",
            "buf",
            "limits",
            "clock",
            "metrics",
            "memory",
        ],
    ),
    (
        "server",
        &[
            "session", "tls", "auth", "watch", "buf", "limits", "clock", "metrics", "memory",
            "heap", "sync",
        ],
    ),
    ("journal", &["limits", "clock"]),
    ("passwd", &["auth"]),
    ("cli", &["passwd", "auth", "file", "limits"]),
    (
        "config",
        &[
            "cli", "server", "session", "store", "tls", "auth", "watch", "limits", "clock",
            "metrics",
        ],
    ),
    (
        "fuzz",
        &[
            "cli",
            "config",
            "session",
            "tls",
            "store",
            "auth",
            "discovery",
            "protocol",
            "watch",
            "limits",
            "clock",
            "metrics",
        ],
    ),
    ("lib", &[]),
    ("bin", &["cli", "config", "store", "buf", "limits", "clock", "metrics", "protocol"]),
];

/// The only files with unsafe code: memory of items, and their index, and the allocator's.
const UNSAFE: &[&str] = &[
    "src/heap.rs",
    "src/store/arena.rs",
    "src/store/chain.rs",
    "src/store/hit.rs",
    "src/store/index.rs",
    "src/store/item.rs",
    "src/store/mod.rs",
    "src/store/prefetch.rs",
    "src/store/slab.rs",
    "src/store/upload.rs",
];

/// Words of the operating system's network, and the rooms that may use them.
const SOCKET_WORDS: &[&str] = &["mio::", "std::net", "core::net", "socket2::"];
const SOCKET_ROOMS: &[&str] = &["server", "bin"];

/// Files whose subject addresses are, though sockets are not.
const ADDRESS_FILES: &[&str] = &["src/auth/guard.rs", "src/discovery/nodes.rs"];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// A source file with comments and strings apart.
struct Source {
    path: String,
    text: String,
    /// The text with comments and the inside of literals blanked, line for line.
    code: String,
}

/// All Rust files under `dirs`, of which there must be some.
fn sources(dirs: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for dir in dirs {
        let before = paths.len();
        walk(&root.join(dir), &mut paths);
        assert!(paths.len() > before, "no Rust files in {dir}");
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source is text");
        let path = path.strip_prefix(root).expect("inside").to_string_lossy().into_owned();
        Source { code: blank(&text), path, text }
    };
    paths.into_iter().map(read).collect()
}

fn walk(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, paths);
        } else if path.extension().is_some_and(|end| end == "rs") {
            paths.push(path);
        }
    }
}

/// Blanks comments and the inside of string and character literals; lines stay lines.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        match end {
            Some(end) => {
                let end = end.min(bytes.len());
                out[at..end]
                    .iter_mut()
                    .filter(|byte| **byte != b'\n')
                    .for_each(|byte| *byte = b' ');
                at = end;
            }
            None => at += 1,
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that begins at `at` ends, if one does.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let find = |pattern: &[u8], from: usize| {
        rest[from..].windows(pattern.len()).position(|part| part == pattern)
    };
    let is_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return Some(at + find(b"\n", 0).unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(at + find(b"*/", 0).map_or(rest.len(), |end| end + 2));
    }
    if rest[0] == b'r' && (!is_word || bytes[at - 1] == b'b') {
        let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
            return Some(
                at + find(&close, 2 + hashes).map_or(rest.len(), |end| end + 3 + 2 * hashes),
            );
        }
    }
    if rest[0] == b'"' {
        let mut end = 1;
        while end < rest.len() && rest[end] != b'"' {
            end += if rest[end] == b'\\' { 2 } else { 1 };
        }
        return Some(at + end + 1);
    }
    // A character, not a lifetime: 'x' or '\...'.
    if rest[0] == b'\'' && rest.get(1) == Some(&b'\\') {
        return Some(at + 3 + rest[3..].iter().position(|byte| *byte == b'\'')? + 1);
    }
    (rest[0] == b'\'' && rest.get(2) == Some(&b'\'')).then_some(at + 3)
}

/// The top module that a file belongs to.
fn room(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split(['/', '.']).next().unwrap_or(inside)
}

/// Places of `word` in `code` that are no part of a longer word, as line numbers.
fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let ends_in_word = word.ends_with(|char: char| char.is_ascii_alphanumeric());
    let hit = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = at > 0 && is_word(line.as_bytes().get(at - 1));
            let after = ends_in_word && is_word(line.as_bytes().get(at + word.len()));
            !before && !after
        })
    };
    code.lines().enumerate().filter(|(_, line)| hit(line)).map(|(index, _)| index + 1).collect()
}

#[track_caller]
fn assert_none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

fn places(source: &Source, word: &str) -> Vec<String> {
    lines_with(&source.code, word).iter().map(|n| format!("{}:{n}: {word}", source.path)).collect()
}

/// Names of our own modules in paths that begin with `crate::` or `nuthatch::`, braces included.
fn modules_named(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for start in ["crate::", "nuthatch::"] {
        for (at, _) in code.match_indices(start) {
            let line = code[..at].lines().count().max(1);
            let rest = &code[at + start.len()..];
            let names = match rest.strip_prefix('{') {
                Some(inner) => inner.split('}').next().unwrap_or("").split(',').collect(),
                None => vec![rest],
            };
            for name in names {
                let word = |char: char| char.is_ascii_alphanumeric() || char == '_';
                let name: String = name.trim_start().chars().take_while(|c| word(*c)).collect();
                found.push((line, name));
            }
        }
    }
    found
}

#[test]
fn arrows_point_down() {
    let mut found = Vec::new();
    // Tests may build what their module is only handed.
    let is_bound = |path: &str| room(path) != "main" && !path.contains("/tests");
    let all = sources(&["src"]);
    for source in all.iter().filter(|source| is_bound(&source.path)) {
        let room = room(&source.path);
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            found.push(format!("{}: the room {room} is not in the picture", source.path));
            continue;
        };
        for (line, name) in modules_named(&source.code) {
            let is_module = ARROWS.iter().any(|(module, _)| *module == name);
            if is_module && name != room && !allowed.contains(&name.as_str()) {
                found.push(format!("{}:{line}: {room} names {name}", source.path));
            }
        }
    }
    assert_none("arrows against the picture", found);
}

#[test]
fn only_the_server_knows_sockets() {
    let all = sources(&["src"]);
    let knows_addresses = |source: &&Source| ADDRESS_FILES.contains(&source.path.as_str());
    let outside = all
        .iter()
        .filter(|source| !SOCKET_ROOMS.contains(&room(&source.path)) && !knows_addresses(source));
    let found = outside
        .flat_map(|source| SOCKET_WORDS.iter().flat_map(move |word| places(source, word)))
        .collect();
    assert_none("sockets outside the server", found);
}

#[test]
fn unsafe_code_is_where_it_belongs() {
    let all = sources(&["src", "tests", "benches"]);
    for path in UNSAFE {
        let source = all.iter().find(|source| source.path == *path);
        let has = source.is_some_and(|source| !lines_with(&source.code, "unsafe").is_empty());
        assert!(has, "{path} has no unsafe code: take it off the list");
    }
    let mut found = Vec::new();
    for source in all.iter().filter(|source| source.path.starts_with("src/")) {
        let path = source.path.as_str();
        let forbids = source.code.contains("#![forbid(unsafe_code)]");
        // Tests of a module that forbids it are forbidden it with the module.
        let is_exempt = path == "src/lib.rs" || UNSAFE.contains(&path) || path.contains("/tests");
        if !is_exempt && !forbids {
            found.push(format!("{path}: no #![forbid(unsafe_code)]"));
        }
        if !UNSAFE.contains(&path) {
            found.extend(places(source, "unsafe"));
        }
    }
    for source in all.iter().filter(|source| !source.path.starts_with("src/")) {
        let is_place = source.path == "tests/it/client.rs";
        if !is_place {
            found.extend(places(source, "unsafe"));
        }
    }
    assert_none("unsafe code or a missing guard", found);
}

/// What is public for benches alone: where a name stands that nobody else may use.
const BENCH_HOOKS: &[(&str, &str)] =
    &[("with_seed(", "src/store/mod.rs"), ("bench::", "src/store/bench.rs")];

#[test]
fn hooks_of_benches_are_theirs() {
    let mut found = Vec::new();
    for source in sources(&["src"]) {
        for (word, home) in BENCH_HOOKS.iter().filter(|(_, home)| source.path != *home) {
            let places = places(&source, word);
            found.extend(places.into_iter().map(|place| format!("{place} is for {home} alone")));
        }
    }
    assert_none("hooks of benches used in the daemon", found);
}

#[test]
fn one_clock() {
    let mut found = Vec::new();
    for source in sources(&["src"]) {
        let is_tool = source.path.starts_with("src/bin/");
        if source.path != "src/clock.rs" && !is_tool {
            for word in ["Instant::now", "SystemTime::now", "thread::sleep"] {
                found.extend(places(&source, word));
            }
        }
    }
    assert_none("time read outside src/clock.rs", found);
}

#[test]
fn files_and_functions_fit() {
    let mut found = Vec::new();
    for source in sources(&["src", "tests", "benches"]) {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            found.push(format!("{}: {lines} lines", source.path));
        }
        found.extend(long_functions(&source));
    }
    assert_none("too long", found);
}

/// Functions longer than the bound; the end is the first line with a brace at the indent of `fn`.
fn long_functions(source: &Source) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = source.code.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_start =
            words.iter().take(5).any(|word| *word == "fn") && !line.trim_end().ends_with(';');
        let end = lines[start..]
            .iter()
            .position(|end| end.trim_end() == format!("{}}}", &" ".repeat(indent(line))));
        if let (true, Some(count)) = (is_start, end)
            && count + 1 > FUNCTION_LINES_MAX
        {
            found.push(format!(
                "{}:{}: {} lines: {}",
                source.path,
                start + 1,
                count + 1,
                line.trim()
            ));
        }
    }
    found
}

#[test]
fn no_work_left_undone() {
    let words = ["TO", "FIX", "XX"].map(|start| match start {
        "TO" => "TODO".to_owned(),
        "FIX" => format!("{start}ME"),
        _ => format!("{start}X"),
    });
    let mut found = Vec::new();
    for source in sources(&["src", "tests", "benches"]) {
        if source.path == file!() {
            continue;
        }
        for word in &words {
            let lines = lines_with(&source.text, word);
            found.extend(lines.iter().map(|n| format!("{}:{n}: {word}", source.path)));
        }
        for word in ["todo!", "unimplemented!", "#[ignore"] {
            found.extend(places(&source, word));
        }
    }
    assert_none("work left undone", found);
}

#[test]
fn each_conversation_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/protocol.md")).expect("the page is there");
    let prefixes = case_prefixes(&page);
    let names: Vec<String> = fs::read_dir(root.join("tests/cases"))
        .expect("the cases are there")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let begins = |name: &String, prefix: &String| name.starts_with(prefix.as_str());
    let unused = prefixes.iter().filter(|prefix| !names.iter().any(|name| begins(name, prefix)));
    assert_none("prefixes without a case", unused.cloned().collect());
    let unlisted = names.iter().filter(|name| !prefixes.iter().any(|prefix| begins(name, prefix)));
    assert_none("cases in no row", unlisted.cloned().collect());
}

/// The code words of two letters or more in the protocol columns of the page's first table.
fn case_prefixes(page: &str) -> Vec<String> {
    let rows = page.lines().skip_while(|line| !line.starts_with('|'));
    rows.take_while(|line| line.starts_with('|'))
        .flat_map(|row| row.split('|').skip(2).take(3))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|word| word.len() > 1)
        .map(str::to_owned)
        .collect()
}

/// The checks above can fail: each finds what it looks for in a text made for it.
#[test]
fn the_checks_can_fail() {
    let text = "use crate::{server, limits};\n// unsafe\nlet s = \"unsafe\"; let c = '\"'; unsafe {}\n\
        let r = r#\"unsafe \" mio::\"#; nuthatch::store::Store\nlet not_unsafe = b'\\'';\n";
    let code = blank(text);
    assert_eq!(lines_with(&code, "unsafe"), [3]);
    assert_eq!(lines_with(&code, "mio::"), Vec::<usize>::new());
    let names: Vec<String> = modules_named(&code).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["server", "limits", "store"]);
    assert_eq!(room("src/store/item.rs"), "store");
    assert_eq!(room("src/clock.rs"), "clock");
    let long = format!("fn a() {{\n{}}}\nfn b() {{\n}}\n", "    x();\n".repeat(80));
    let source = Source { path: "p".to_owned(), code: blank(&long), text: long };
    assert_eq!(long_functions(&source).len(), 1);
    let page =
        "# x\n\n| a | text | meta |\n| b | get: `get-` | `q`: `meta-` | | it `x` |\n\n| `y` |\n";
    assert_eq!(case_prefixes(page), ["get-", "meta-"]);
}
