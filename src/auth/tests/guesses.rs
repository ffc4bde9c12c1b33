//! What guesses cost, and whom they cost nothing.

use super::*;

/// A gate for `foo` and `fox`, where a failure costs an hour.
fn guarded() -> Gate {
    let file = TempFile::with("foo:bar\nfox:bar\na.example:$cert\n");
    Gate::open(Options { delay: Duration::from_secs(3600), ..options(&file.0) }).unwrap()
}

/// So many failures that nothing from there is looked at any more.
fn guess(gate: &mut Gate) {
    let start = now();
    let mut is_looked_at =
        || gate.judge(Attempt { ask: token("foo x"), from: None }, start).was_looked_at;
    for _ in 0..=70 {
        assert!(is_looked_at());
    }
    assert!(!is_looked_at());
}

#[test]
fn who_guesses_waits_and_is_turned_away() {
    let file = TempFile::with("foo:bar");
    let mut gate =
        Gate::open(Options { delay: Duration::from_secs(1), ..options(&file.0) }).unwrap();
    let start = now();
    let mut ask = |text| {
        let judgement = gate.judge(Attempt { ask: token(text), from: None }, start);
        let is_granted = matches!(judgement.verdict, Verdict::Granted(..));
        (is_granted, judgement.at - start)
    };
    for _ in 0..10 {
        assert_eq!(ask("foo x"), (false, Duration::ZERO));
    }
    assert_eq!(ask("foo x"), (false, Duration::from_secs(1)));
    assert_eq!(ask("foo bar"), (true, Duration::ZERO), "who knows it does not wait");
    for _ in 0..60 {
        ask("foo x");
    }
    assert_eq!(ask("foo x"), (false, Duration::from_secs(10)), "not looked at");
    assert_eq!(ask("foo bar"), (true, Duration::ZERO), "known to be good from there");
}

/// However a password is told: what has let in is looked at when other guesses from there are not.
#[test]
fn what_has_let_in_is_known_by_name_and_password() {
    let file = TempFile::with("foo:bar");
    let mut gate =
        Gate::open(Options { delay: Duration::from_secs(1), ..options(&file.0) }).unwrap();
    let start = now();
    let mut judge = |ask| gate.judge(Attempt { ask, from: None }, start);
    let Verdict::Challenge(exchange, _) = judge(plain("")).verdict else { panic!("no challenge") };
    let step = Ask::Step(exchange, b"\0foo\0bar".to_vec().into());
    assert!(matches!(judge(step).verdict, Verdict::Granted(..)));
    for word in 0..=70 {
        assert!(judge(plain(&format!("\0foo\0{word}"))).was_looked_at);
    }
    let mut is_looked_at = |ask| judge(ask).was_looked_at;
    assert!(!is_looked_at(plain("\0foo\0x")) && !is_looked_at(token("foo bar")));
    assert!(is_looked_at(plain("\0foo\0bar")) && is_looked_at(plain("foo\0foo\0bar")));
}

/// With SCRAM it is the name that is known: guesses at others from there are not looked at.
#[test]
fn who_has_let_in_by_scram_is_known_by_name() {
    let mut gate = guarded();
    let scram = |gate: &mut Gate, name, word| {
        converse(gate, "SCRAM-SHA-256", Credentials(name, word), |_| {})
    };
    assert_eq!(scram(&mut gate, "foo", "bar"), (2, Some("foo".to_owned())));
    guess(&mut gate);
    assert_eq!(scram(&mut gate, "fox", "bar"), (1, None));
    assert_eq!(scram(&mut gate, "foo", "bar"), (2, Some("foo".to_owned())));
    assert_eq!(scram(&mut gate, "foo", "baz"), (2, None));
}

/// Neither costs anything, nor does a certificate that is known have other guesses looked at.
#[test]
fn certificates_and_questions_are_no_guesses() {
    let mut gate = guarded();
    let names = |name: &str| Ask::Names(vec![name.to_owned()]);
    for _ in 0..=70 {
        assert_eq!(judge(&mut gate, names("nobody")), None);
        gate_mechanisms(&mut gate);
    }
    assert_eq!(judge(&mut gate, names("a.example")).as_deref(), Some("a.example"));
    guess(&mut gate);
    let nameless = Attempt { ask: plain(""), from: None };
    assert!(!gate.judge(nameless, now()).was_looked_at);
}

#[test]
fn what_an_attempt_holds_is_told() {
    let bytes = |len| Vec::with_capacity(len);
    let file = TempFile::with("foo:bar");
    let mut gate = Gate::open(options(&file.0)).unwrap();
    let Verdict::Challenge(exchange, _) =
        gate.judge(Attempt { ask: plain(""), from: None }, now()).verdict
    else {
        panic!("no challenge")
    };
    for (ask, beside) in [
        (Ask::Mechanisms, 0),
        (Ask::Token(bytes(100).into()), 100),
        (Ask::Start(bytes(7), bytes(100).into()), 107),
        (Ask::Step(exchange, bytes(100).into()), crate::limits::EXCHANGE_BYTES + 100),
        (Ask::Names(vec![String::with_capacity(10), String::with_capacity(20)]), 30),
    ] {
        let held = Attempt { ask, from: None }.held_bytes();
        assert_eq!(held, size_of::<Attempt>() + beside);
    }
}

/// Memory for the largest hash, whether one has been made or not, whom it guards against and what it
/// remembers.
#[test]
fn what_a_gate_holds_is_told() {
    const LARGEST: usize = 256 * 1024;
    let users = format!("foo:{}\nfox:{}\n", argon2("bar"), argon2_of(256, "bar"));
    let file = TempFile::with(&users);
    let mut gate = Gate::open(options(&file.0)).unwrap();
    assert_eq!(gate.held_bytes(), LARGEST);
    assert!(judge(&mut gate, token("foo bar")).is_some());
    let (remembered, pair) = (gate.held_bytes() - LARGEST, 2 * size_of::<secret::Print>());
    assert!((2 * pair..16 * pair).contains(&remembered), "{remembered}");
    file.write("foo:bar\n");
    gate.reload();
    assert_eq!(gate.held_bytes(), 64 * 1024 + remembered, "what the check has taken");
    file.write(&users);
    let delay = Duration::from_secs(1);
    let mut gate = Gate::open(Options { delay, ..options(&file.0) }).unwrap();
    assert_eq!(judge(&mut gate, token("foo baz")), None);
    let guarded = gate.held_bytes();
    assert!((LARGEST + 30..LARGEST + 4096).contains(&guarded), "{guarded}");
}
