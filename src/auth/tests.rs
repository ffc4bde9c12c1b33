//! Attempts to log in, by a gate over a real file.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, SessionError, State};
use rsasl::property::{AuthId, Password};

use super::*;
use crate::clock::Clock;
use crate::limits::{SCRAM_ITERATIONS, SCRAM_MADE_MAX};

mod guesses;

/// A file of users that goes away with the test.
pub(super) struct TempFile(pub(super) PathBuf);

impl TempFile {
    pub(super) fn with(text: &str) -> TempFile {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nuthatch-users-{}-{number}", std::process::id());
        let file = TempFile(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    pub(super) fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

fn options(path: &Path) -> Options {
    Options {
        file: Some(UserFile::Users(path.to_owned())),
        sasl: true,
        mechanisms: None,
        hostname: "here".to_owned(),
        delay: Duration::ZERO,
    }
}

/// A gate for the users of a file with this text. It makes no keys for SCRAM, which takes a while.
pub(crate) fn gate(text: &str) -> Gate {
    let file = TempFile::with(text);
    Gate::open(Options { sasl: false, ..options(&file.0) }).unwrap()
}

fn now() -> Instant {
    Clock::start().now().instant
}

fn argon2(password: &str) -> String {
    argon2_of(64, password)
}

/// A hash that takes so many KiB to check.
pub(super) fn argon2_of(kib: u32, password: &str) -> String {
    let params = Params::new(kib, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash =
        argon2.hash_password_with_salt(password.as_bytes(), b"salt of sixteen!").unwrap();
    hash.to_string()
}

/// The name of who is let in.
fn judge(gate: &mut Gate, ask: Ask) -> Option<String> {
    match gate.judge(Attempt { ask, from: None }, now()).verdict {
        Verdict::Granted(user, _) => Some(String::from_utf8_lossy(&user.name).into_owned()),
        Verdict::Refused => None,
        other => panic!("{other:?}"),
    }
}

fn token(text: &str) -> Ask {
    Ask::Token(text.as_bytes().to_vec().into())
}

fn plain(text: &str) -> Ask {
    Ask::Start(b"PLAIN".to_vec(), text.as_bytes().to_vec().into())
}

#[track_caller]
fn check(file: &str, ask: Ask, user: Option<&str>) {
    let file = TempFile::with(file);
    let mut gate = Gate::open(options(&file.0)).unwrap();
    assert_eq!(judge(&mut gate, ask).as_deref(), user);
}

#[test]
fn tokens_section_9() {
    check("foo:bar", token("foo bar"), Some("foo"));
    check("foo:bar", token("foo bab"), None);
    check("foo:bar", token("fo bar"), None);
    check("foo:bar", token("foobar"), None);
    check("foo:bar", token(""), None);
    check("a:1\nfoo:bar baz\n", token("foo bar baz"), Some("foo"));
    check("foo:bar\nfoo:baz\n", token("foo baz"), Some("foo"));
    check(":", token(" "), Some(""));
    let many: String = (0..100).map(|n| format!("user{n}:word{n}\n")).collect();
    check(&many, token("user99 word99"), Some("user99"));
}

#[test]
fn plain_section_5() {
    check("foo:bar", plain("\0foo\0bar"), Some("foo"));
    check("foo:bar", plain("foo\0foo\0bar"), Some("foo"));
    check("foo:bar", plain("else\0foo\0bar"), None);
    check("foo:bar", plain("\0foo\0bab"), None);
    check("foo:bar", plain("\0foo\0bar\0"), None);
    check("foo:bar", plain("foo bar"), None);
    check("foo:bar", plain("\0\0\0\0"), None);
    check("foo:bar", Ask::Start(b"plain".to_vec(), b"\0foo\0bar".to_vec().into()), None);
    check("foo:bar", Ask::Start(b"LOGIN".to_vec(), b"\0foo\0bar".to_vec().into()), None);
    check("foo:bar", Ask::Start(b"".to_vec(), b"\0foo\0bar".to_vec().into()), None);
}

#[test]
fn names_with_and_without_the_host() {
    check("foo@here:bar", plain("\0foo\0bar"), Some("foo@here"));
    check("foo:bar", plain("\0foo@here\0bar"), Some("foo"));
    check("foo@there:bar", plain("\0foo\0bar"), None);
    check("foo:bar", plain("\0foo@there\0bar"), None);
}

#[test]
fn hashes() {
    let file = format!("foo:{}:read\n", argon2("bar"));
    check(&file, token("foo bar"), Some("foo"));
    check(&file, plain("\0foo\0bar"), Some("foo"));
    check(&file, token("foo bab"), None);
    check(&file, token("fox bar"), None);
    for hash in Hash::ALL {
        let keys = Keys::derive(hash, b"bar", b"salt", SCRAM_ITERATIONS);
        check(&format!("foo:{keys}"), token("foo bar"), Some("foo"));
        check(&format!("foo:{keys}"), plain("\0foo\0bab"), None);
    }
}

#[test]
fn a_remembered_password_is_still_checked() {
    let file = TempFile::with(&format!("foo:{}", argon2("bar")));
    let mut gate = Gate::open(options(&file.0)).unwrap();
    for _ in 0..2 {
        assert_eq!(judge(&mut gate, token("foo bar")).as_deref(), Some("foo"));
        assert_eq!(judge(&mut gate, token("foo bab")), None);
    }
    file.write(&format!("foo:{}", argon2("baz")));
    gate.reload();
    assert_eq!(judge(&mut gate, token("foo bar")), None);
    assert_eq!(judge(&mut gate, token("foo baz")).as_deref(), Some("foo"));
}

/// Else a file that is read again and again would have what is remembered grow.
#[test]
fn a_password_is_forgotten_with_its_secret() {
    let ring = secret::Ring::new();
    let mut remembered = users::Remembered::from([(ring.print(b"secret"), ring.print(b"bar"))]);
    users::Users::new("here").retain(&mut remembered);
    assert!(remembered.is_empty());
}

#[test]
fn what_need_not_wait() {
    let file = TempFile::with(&format!("foo:bar\nfox:{}\n", argon2("bar")));
    let mut gate = Gate::open(options(&file.0)).unwrap();
    let mut is_good = |ask| {
        let attempt = Attempt { ask, from: None };
        let is_good = gate.is_good_at_once(&attempt);
        gate.judge(attempt, now());
        is_good
    };
    assert!(is_good(token("foo bar")) && is_good(plain("\0foo\0bar")));
    assert!(!is_good(token("foo baz")) && !is_good(token("nobody bar")) && !is_good(token("foo")));
    assert!(!is_good(Ask::Start(
        b"SCRAM-SHA-256".to_vec(),
        b"n,,n=foo\0bar,r=abc".to_vec().into()
    )));
    assert!(!is_good(token("fox bar")), "it is hashed");
    assert!(is_good(token("fox bar")) && is_good(plain("\0fox\0bar")), "and remembered");
    assert!(!is_good(token("fox baz")));
}

#[test]
fn certificates() {
    let names = |names: &[&str]| Ask::Names(names.iter().map(|name| name.to_string()).collect());
    let file = "foo:bar\na.example:$cert:read\nb.example:$cert\n";
    check(file, names(&["x", "b.example", "a.example"]), Some("b.example"));
    check(file, names(&["foo"]), None);
    check(file, names(&[]), None);
    check(file, token("a.example $cert"), None);
    check(file, plain("\0a.example\0$cert"), None);
}

#[test]
fn mechanisms() {
    for (file, expected) in [
        ("foo:bar".to_owned(), "PLAIN \0 SCRAM-SHA-512 SCRAM-SHA-256 "),
        (format!("foo:{}", argon2("bar")), "PLAIN "),
        (
            format!("foo:{}", Keys::derive(Hash::Sha256, b"x", b"salt", SCRAM_ITERATIONS)),
            "PLAIN \0 SCRAM-SHA-256 ",
        ),
        ("foo:bar\ncert:$cert\n".to_owned(), "PLAIN \0 SCRAM-SHA-512 SCRAM-SHA-256 "),
        // Who has no keys for SCRAM must not be led to try it.
        (format!("foo:bar\nfox:{}\n", argon2("bar")), "PLAIN "),
    ] {
        let file = TempFile::with(&file);
        let mut gate = Gate::open(options(&file.0)).unwrap();
        assert_eq!(gate_mechanisms(&mut gate), expected);
    }
}

#[test]
fn mechanisms_that_are_switched_off() {
    let file = TempFile::with("foo:bar");
    for (allowed, names) in [
        (&["PLAIN"][..], "PLAIN "),
        (&["PLAIN", "SCRAM-SHA-256"], "SCRAM-SHA-256 PLAIN "),
        (&["SCRAM-SHA-512"], "SCRAM-SHA-512 "),
    ] {
        let allowed: Vec<_> = allowed.iter().copied().filter_map(mechanism).collect();
        let options = Options { mechanisms: Some(allowed), ..options(&file.0) };
        let mut gate = Gate::open(options).unwrap();
        assert_eq!(gate_mechanisms(&mut gate), names);
        let is_plain_on = names.contains("PLAIN");
        assert_eq!(judge(&mut gate, plain("\0foo\0bar")).is_some(), is_plain_on);
    }
    assert_eq!(
        (mechanism("scram-sha-256"), mechanism("plain")),
        (Some("SCRAM-SHA-256"), Some("PLAIN"))
    );
    assert_eq!(mechanism("LOGIN"), None);
}

fn gate_mechanisms(gate: &mut Gate) -> String {
    let ask = Attempt { ask: Ask::Mechanisms, from: None };
    let Verdict::Mechanisms(names) = gate.judge(ask, now()).verdict else { panic!() };
    names
}

/// What a client of rsasl knows.
struct Credentials(&'static str, &'static str);

impl SessionCallback for Credentials {
    fn callback(
        &self,
        _: &SessionData,
        _: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        request.satisfy::<AuthId>(self.0)?.satisfy::<Password>(self.1.as_bytes())?;
        Ok(())
    }
}

/// An exchange between rsasl's client and the gate; how many messages the client sent, and who it is.
fn converse(
    gate: &mut Gate,
    mechanism: &str,
    user: Credentials,
    mut between: impl FnMut(&mut Gate),
) -> (usize, Option<String>) {
    let config = SASLConfig::builder().with_default_mechanisms().with_callback(user).unwrap();
    let name = Mechname::parse(mechanism.as_bytes()).unwrap();
    let mut client = SASLClient::new(config).start_suggested(&[name]).unwrap();
    let mut message = Vec::new();
    client.step(None, &mut message).unwrap();
    let mut ask = Ask::Start(mechanism.as_bytes().to_vec(), message.into());
    for count in 1.. {
        match gate.judge(Attempt { ask, from: None }, now()).verdict {
            Verdict::Challenge(exchange, challenge) => {
                between(gate);
                let mut message = Vec::new();
                client.step(Some(&challenge), &mut message).unwrap();
                ask = Ask::Step(exchange, message.into());
            }
            Verdict::Granted(user, last) => {
                // The server has proved that it knows the password, too.
                let state = client.step(Some(&last), &mut Vec::new()).unwrap();
                assert!(matches!(state, State::Finished(_)));
                return (count, Some(String::from_utf8_lossy(&user.name).into_owned()));
            }
            Verdict::Refused => return (count, None),
            Verdict::Mechanisms(_) => unreachable!(),
        }
    }
    unreachable!()
}

#[test]
fn scram_with_any_secret_that_allows_it() {
    for hash in Hash::ALL {
        let keys = Keys::derive(hash, b"bar", b"some salt", SCRAM_ITERATIONS);
        for secret in ["bar".to_owned(), keys.to_string()] {
            let file = TempFile::with(&format!("foo:{secret}\na,b=c:bar\n"));
            let mut gate = Gate::open(options(&file.0)).unwrap();
            let mut ask =
                |name, word| converse(&mut gate, hash.mechanism(), Credentials(name, word), |_| {});
            assert_eq!(ask("foo", "bar"), (2, Some("foo".to_owned())));
            assert_eq!(ask("foo", "bab"), (2, None));
            assert_eq!(ask("fox", "bar"), (2, None));
        }
    }
}

#[test]
fn scram_though_not_everybody_can() {
    let file = TempFile::with(&format!("foo:bar\nfox:{}\n", argon2("bar")));
    let mut gate = Gate::open(options(&file.0)).unwrap();
    let mut ask = |name| converse(&mut gate, "SCRAM-SHA-256", Credentials(name, "bar"), |_| {});
    assert_eq!(ask("foo"), (2, Some("foo".to_owned())));
    assert_eq!(ask("fox"), (2, None));
    // Where nobody can it is no mechanism.
    let first = Ask::Start(b"SCRAM-SHA-256".to_vec(), b"n,,n=fox,r=abc".to_vec().into());
    check(&format!("fox:{}", argon2("bar")), first, None);
}

#[test]
fn lines_that_are_made_let_in() {
    for written in [Written::Argon2id, Written::Scram(Hash::Sha256), Written::Scram(Hash::Sha512)] {
        let line = entry("foo", "b:r \u{ff21}", written, Some("read,prefix=a:")).unwrap();
        check(&line, token("foo b:r \u{ff21}"), Some("foo"));
        check(&line, plain("\0foo\0b:r A"), Some("foo"));
        check(&line, token("foo bar"), None);
    }
}

#[test]
fn scram_of_a_user_who_is_taken_out_meanwhile() {
    let file = TempFile::with("foo:bar");
    let mut gate = Gate::open(options(&file.0)).unwrap();
    let done = converse(&mut gate, "SCRAM-SHA-256", Credentials("foo", "bar"), |gate| {
        file.write("other:bar");
        gate.reload();
    });
    assert_eq!(done, (2, None));
}

/// The salt and the iterations that somebody is told by a mechanism of SCRAM.
fn told(gate: &mut Gate, hash: Hash, name: &str) -> (String, String) {
    let message = format!("n,,n={name},r=nonce").into_bytes();
    let ask = Ask::Start(hash.mechanism().as_bytes().to_vec(), message.into());
    let verdict = gate.judge(Attempt { ask, from: None }, now()).verdict;
    let Verdict::Challenge(_, challenge) = verdict else { panic!("{verdict:?}") };
    let challenge = String::from_utf8(challenge).unwrap();
    let fields: Vec<_> = challenge.split(',').map(str::to_owned).collect();
    (fields[1].clone(), fields[2].clone())
}

#[test]
fn names_that_nobody_has_look_like_any_other() {
    let file = TempFile::with("foo:bar");
    let mut gate = Gate::open(options(&file.0)).unwrap();
    let mut first = |name| told(&mut gate, Hash::Sha256, name);
    let (known, unknown) = (first("foo"), first("fox"));
    assert_eq!(known.1, "i=4096");
    assert_eq!(known.1, unknown.1);
    assert_eq!(known.0.len(), unknown.0.len());
    assert_eq!(unknown, first("fox"), "the same each time");
    assert_ne!(unknown.0, first("fix").0);
}

/// Keys in the file have salts and iterations of their own.
#[test]
fn names_that_nobody_has_look_like_keys_of_the_same_hash() {
    let keys = |hash, salt: &[u8], iterations| {
        Keys::derive(hash, b"bar", salt, NonZeroU32::new(iterations).unwrap())
    };
    let wide = keys(Hash::Sha512, b"a salt that is long", 6000);
    let narrow = keys(Hash::Sha256, b"salt", 5000);
    let file = TempFile::with(&format!("foo:{wide}\nfox:{narrow}\n"));
    let mut gate = Gate::open(options(&file.0)).unwrap();
    for (hash, name, iterations) in
        [(Hash::Sha512, "foo", "i=6000"), (Hash::Sha256, "fox", "i=5000")]
    {
        let (known, unknown) = (told(&mut gate, hash, name), told(&mut gate, hash, "nobody"));
        assert_eq!((&known.1[..], &unknown.1[..]), (iterations, iterations));
        assert_eq!(known.0.len(), unknown.0.len());
    }
}

#[test]
fn messages_that_are_none() {
    let file = TempFile::with("foo:bar");
    let mut gate = Gate::open(options(&file.0)).unwrap();
    let seed = std::env::var("NUTHATCH_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut state: u64 = seed.unwrap_or(0x5eed);
    println!("NUTHATCH_SEED={state}");
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize
    };
    let parts: [&[u8]; 12] = [
        b"n,,", b"y,,", b"p=x,,", b"n=foo", b",", b"r=a", b"c=biws", b"p=AA==", b"\0", b"\xff",
        b"=", b"m=x",
    ];
    for _ in 0..20_000 {
        let mut message = || -> Vec<u8> {
            (0..random() % 8).flat_map(|_| parts[random() % parts.len()].iter().copied()).collect()
        };
        let first = message();
        let mut ask = Ask::Start(b"SCRAM-SHA-256".to_vec(), first.into());
        while let Verdict::Challenge(exchange, _) =
            gate.judge(Attempt { ask, from: None }, now()).verdict
        {
            ask = Ask::Step(exchange, [&b"x"[..], &message()].concat().into());
        }
    }
}

#[test]
fn an_empty_first_message_asks_for_another() {
    let file = TempFile::with("foo:bar");
    let mut gate = Gate::open(options(&file.0)).unwrap();
    let attempt = Attempt { ask: plain(""), from: None };
    let Verdict::Challenge(exchange, challenge) = gate.judge(attempt, now()).verdict else {
        panic!()
    };
    assert_eq!(challenge, b"");
    let ask = Ask::Step(exchange, b"\0foo\0bar".to_vec().into());
    assert_eq!(judge(&mut gate, ask).as_deref(), Some("foo"));
}

#[test]
fn a_bad_file_changes_nothing() {
    let file = TempFile::with("foo:bar");
    let mut gate = Gate::open(options(&file.0)).unwrap();
    for bad in ["nobody", "foo:baz\nnobody\n", "", "# none\n", "foo:$argon2id$x"] {
        file.write(bad);
        gate.reload();
        assert_eq!(judge(&mut gate, token("foo bar")).as_deref(), Some("foo"), "{bad}");
    }
    fs::remove_file(&file.0).unwrap();
    gate.reload();
    assert_eq!(judge(&mut gate, token("foo bar")).as_deref(), Some("foo"));
    file.write("foo:baz");
    gate.reload();
    assert_eq!(judge(&mut gate, token("foo bar")), None);
}

#[test]
fn bad_files_at_the_start_section_8() {
    let file = TempFile::with("foo:bar\nnobody");
    let name = file.0.display();
    let complaint = Gate::open(options(&file.0)).map(drop).unwrap_err();
    assert_eq!(
        complaint,
        format!(
            "Authfile [{name}] has a malformed entry. Should be 'user:password' (line 2: no colon)"
        )
    );
    file.write("");
    let complaint = Gate::open(options(&file.0)).map(drop).unwrap_err();
    assert!(complaint.ends_with("Should be 'user:password' (no user)"), "{complaint}");
    fs::remove_file(&file.0).unwrap();
    let complaint = Gate::open(options(&file.0)).map(drop).unwrap_err();
    let start = format!("Could not open authfile [{name}] for reading, error No such file");
    assert!(complaint.starts_with(&start), "{complaint}");
}

#[test]
fn password_files_may_come_and_go_section_9() {
    let file = TempFile::with("");
    fs::remove_file(&file.0).unwrap();
    let options = Options { file: Some(UserFile::Passwords(file.0.clone())), ..options(&file.0) };
    let mut gate = Gate::open(options).unwrap();
    assert_eq!(judge(&mut gate, plain("\0foo\0bar")), None);
    file.write("foo@here:bar:anything\njunk\n");
    gate.reload();
    assert_eq!(judge(&mut gate, plain("\0foo\0bar")).as_deref(), Some("foo@here"));
}

#[test]
fn a_file_is_read_once_it_has_settled() {
    let file = TempFile::with("foo:bar");
    let mut gate = Gate::open(options(&file.0)).unwrap();
    let start = now();
    assert_eq!(gate.look(start), None);
    file.write("foo:bazz");
    let until = gate.look(start).expect("it has changed");
    assert_eq!(judge(&mut gate, token("foo bar")).as_deref(), Some("foo"));
    file.write("foo:bazzz");
    let later = gate.look(until).expect("it has changed again");
    assert!(later > until);
    assert_eq!(gate.look(later), None);
    assert_eq!(judge(&mut gate, token("foo bazzz")).as_deref(), Some("foo"));
}

#[test]
fn scram_of_a_password_that_is_replaced_meanwhile() {
    for (after, user) in [("foo:baz\n", None), ("foo:bar:read\n", Some("foo".to_owned()))] {
        let file = TempFile::with("foo:bar");
        let mut gate = Gate::open(options(&file.0)).unwrap();
        let credentials = Credentials("foo", "bar");
        let done = converse(&mut gate, "SCRAM-SHA-256", credentials, |gate| {
            file.write(after);
            gate.reload();
        });
        assert_eq!(done, (2, user), "{after}");
    }
}

#[test]
fn scram_of_several_lines_is_that_of_the_last() {
    let file = TempFile::with("foo:one\nfoo:two\n");
    let mut gate = Gate::open(options(&file.0)).unwrap();
    assert_eq!(gate_mechanisms(&mut gate), "PLAIN ");
    let mut ask = |word| converse(&mut gate, "SCRAM-SHA-512", Credentials("foo", word), |_| {}).1;
    assert_eq!((ask("one"), ask("two").as_deref()), (None, Some("foo")));
}

#[test]
fn keys_are_made_for_a_few_users_only() {
    let users: String = (0..=SCRAM_MADE_MAX).map(|n| format!("user{n}:word\n")).collect();
    let file = TempFile::with(&users);
    let mut gate = Gate::open(options(&file.0)).unwrap();
    assert_eq!(gate_mechanisms(&mut gate), "PLAIN ");
    assert_eq!(judge(&mut gate, token("user200 word")).as_deref(), Some("user200"));
}

#[test]
fn nothing_secret_is_shown_for_debugging() {
    let file = TempFile::with("foo:swordfish\n");
    let mut gate = Gate::open(options(&file.0)).unwrap();
    let shown = format!("{gate:?}");
    assert!(shown.starts_with("Gate {") && !shown.contains("foo") && !shown.contains("swordfish"));
    let names = Ask::Names(vec!["swordfish".to_owned()]);
    let asks = [token("foo swordfish"), plain("\0foo\0swordfish"), Ask::Mechanisms, names];
    assert_eq!(format!("{asks:?}"), "[Token, Start, Mechanisms, Names]");
    let ring = secret::Ring::new();
    let keys = Keys::derive(Hash::Sha256, b"swordfish", b"salt", SCRAM_ITERATIONS);
    assert_eq!(format!("{keys:?}"), "Keys(SCRAM-SHA-256)");
    let (hash, keys) = (argon2("swordfish"), keys.to_string());
    let shown = [b"swordfish".as_slice(), hash.as_bytes(), keys.as_bytes()]
        .map(|text| secret::Secret::parse(text, &ring).unwrap());
    assert_eq!(format!("{shown:?}"), "[Plain, Argon2, Scram]");
    let credential = ring.print(b"swordfish");
    assert_eq!(format!("{ring:?} {credential:?}"), "Ring Print");
    let who = guard::Who { from: None, credential };
    assert_eq!(format!("{who:?}"), "None");
    let first = Ask::Start(b"SCRAM-SHA-256".to_vec(), b"n,,n=swordfish,r=abcdefgh".to_vec().into());
    let verdict = gate.judge(Attempt { ask: first, from: None }, now()).verdict;
    let Verdict::Challenge(exchange, _) = verdict else { panic!("{verdict:?}") };
    assert_eq!(format!("{exchange:?}"), "Exchange(SCRAM-SHA-256)");
}
