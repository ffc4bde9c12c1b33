//! The texts of `-h`, `-i` and `-V`, and the version.
#![forbid(unsafe_code)]

use super::flags;
use super::suboptions::SUBOPTIONS;

/// What the command `version` and the `stats` key answer: the memcached release whose protocol this
/// server speaks, and nothing else. Clients read it as a number (Perl's `version`, for one, takes no
/// letters) and compare it: some want 1.6.40 or later for what they use.
pub const PROTOCOL_LEVEL: &str = "1.6.45";

/// First line of `-h` and all of `-V`. Test harnesses and scripts look for memcached's there, so a
/// program whose file name begins with `memcached` says what memcached says (options, section 9).
pub fn version_line(program: &str) -> String {
    if program.starts_with("memcached") {
        format!("memcached {PROTOCOL_LEVEL}\n")
    } else {
        concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
    }
}

/// The text of `-h`. It names what exists and nothing else: harnesses search it for features.
pub fn usage(program: &str) -> String {
    let mut text = version_line(program);
    text.push_str(flags::command().render_help().to_string().trim_end());
    text.push('\n');
    for option in SUBOPTIONS.iter().filter(|option| !option.help.is_empty()) {
        text.push_str(&format!("       {:<18} {}\n", option.name, option.help));
    }
    text
}

/// The text of `-i`.
pub fn licence() -> &'static str {
    concat!(
        env!("CARGO_PKG_NAME"),
        " ",
        env!("CARGO_PKG_VERSION"),
        "\n\
        Free software under either the MIT licence or the Apache licence, version 2.0, as you\n\
        choose. Provided \"as is\", without warranty of any kind, express or implied. The full\n\
        texts come with its source.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_what_its_name_does() {
        assert_eq!(version_line("nuthatch"), "nuthatch 0.1.0\n");
        assert_eq!(version_line("memcached"), "memcached 1.6.45\n");
        assert_eq!(version_line("memcached-debug"), "memcached 1.6.45\n");
    }

    /// What harnesses search the text for (options, section 9).
    #[test]
    fn usage_names_features_that_exist_and_no_others() {
        let text = usage("memcached-debug").to_lowercase();
        assert!(text.starts_with("memcached 1.6.45\n"));
        for present in
            ["-s, --unix-socket <file>", "--port", "idle_timeout", "enable-ssl", "enable-sasl"]
        {
            assert!(text.contains(present), "{present} in {text}");
        }
        for absent in ["kernel_tls", "ext_", "proxy", "no_drop_privileges"] {
            assert!(!text.contains(absent), "{absent} in {text}");
        }
        assert!(!text.contains("stray") && !text.contains("delimiter <"), "{text}");
    }
}
