//! Each rule keeps out what it says, and no more: shown by examples.
#![forbid(unsafe_code)]

use crate::allowed::{RULES, What};
use crate::pattern::{Names, Pattern};
use crate::sequence::{Cuts, Line, Packet, Request, Sequence};

const LINES: &str = include_str!("examples.txt");

/// A sequence, and whether a rule is for its last request.
type Example = (Vec<Request>, bool);

/// The paragraph of the file that begins with the rule's name.
fn lines_of(rule: &str) -> Vec<Example> {
    let mut paragraphs = LINES.split("\n\n").filter_map(|text| text.split_once('\n'));
    let examples = paragraphs.find(|(name, _)| *name == rule).map_or("", |(_, examples)| examples);
    examples.lines().map(example).collect()
}

fn example(text: &str) -> Example {
    let is_kept_out = text.starts_with('+');
    assert!(is_kept_out || text.starts_with('-'), "{text}");
    let mut pattern = Pattern::default();
    pattern.push_line(&format!("{}\\", &text[2..])).expect("an example");
    let bytes = pattern.render(&Names::new()).expect("an example");
    let requests = String::from_utf8(bytes).expect("an example");
    (requests.split(" / ").map(request).collect(), is_kept_out)
}

fn request(text: &str) -> Request {
    Request::Line(match text.split_once(" | ") {
        Some((line, block)) => Line::of(line).with_block(block),
        None => Line::of(text),
    })
}

/// For the rules on packets: packets of which a rule is for the last, or is not.
fn packets_of(rule: &str) -> Vec<(Vec<Packet>, bool)> {
    let with = |change: fn(&mut Packet)| {
        let mut packet = Packet::new(0);
        change(&mut packet);
        packet
    };
    let good = Packet::new(10);
    match rule {
        "bodies of more than 1 GiB" => vec![
            (vec![with(|packet| packet.body_len = Some(1 << 30))], false),
            (vec![with(|packet| packet.body_len = Some((1 << 30) + 1))], true),
        ],
        "heads that fit no buffer" => vec![
            (vec![with(|packet| packet.key_len = Some(20_000))], true),
            (vec![with(|packet| packet.key_len = Some(251))], false),
        ],
        "unknown opcodes with a body" => vec![
            (vec![with(|packet| packet.opcode = 0x30)], false),
            (vec![with(|packet| (packet.opcode, packet.key) = (0x30, b"a".to_vec()))], true),
            (vec![with(|packet| packet.key = b"a".to_vec())], false),
        ],
        "values where none belongs" => vec![
            (vec![with(|packet| (packet.opcode, packet.value) = (0x1c, b"a".to_vec()))], true),
            (vec![with(|packet| (packet.opcode, packet.key) = (0x1c, b"a".to_vec()))], false),
        ],
        "values of white space alone" => vec![
            (vec![with(|packet| packet.value = b" \r".to_vec())], true),
            (vec![with(|packet| packet.value = b" 1".to_vec())], false),
            (vec![with(|packet| packet.value.clear())], false),
        ],
        "a number that is counted behind a long value" => {
            let long = with(|packet| packet.value = vec![b'x'; 2000]);
            let sum = with(|packet| packet.opcode = 5);
            vec![(vec![long.clone(), sum], true), (vec![long.clone(), long], false)]
        }
        "statistics as packets" => vec![
            (vec![with(|packet| packet.opcode = 0x10)], true),
            (vec![with(|packet| (packet.opcode, packet.key) = (0x10, b"reset".to_vec()))], false),
        ],
        "packets that are not where they should be" => vec![
            (vec![with(|packet| packet.magic = 0x81)], false),
            (vec![good.clone(), with(|packet| packet.magic = 0x81)], true),
            (vec![with(|packet| packet.body_len = Some(9))], false),
            (vec![with(|packet| (packet.key, packet.body_len) = (b"ab".to_vec(), Some(1)))], true),
            (vec![good.clone(), good], false),
        ],
        _ => Vec::new(),
    }
}

#[test]
fn a_rule_keeps_out_what_it_says() {
    for rule in RULES {
        assert!(!rule.reason.is_empty(), "{} has no reason", rule.name);
        let (What::Avoid(is_so) | What::LooseIf(is_so)) = rule.what else { continue };
        let mut examples = lines_of(rule.name);
        examples.extend(packets_of(rule.name).into_iter().map(|(packets, is_kept_out)| {
            (packets.into_iter().map(Request::Packet).collect(), is_kept_out)
        }));
        let is_shown = |wanted| examples.iter().any(|(_, is_kept_out)| *is_kept_out == wanted);
        assert!(is_shown(true), "{}: nothing that it is for", rule.name);
        assert!(is_shown(false) || rule.name == "uniques", "{}: it is for everything", rule.name);
        for (requests, wanted) in examples {
            let last = requests.len() - 1;
            let sequence = Sequence { requests, cuts: Cuts::Whole };
            assert_eq!(is_so(&sequence, last), wanted, "{}: {sequence:?}", rule.name);
        }
    }
}

#[test]
fn each_example_is_of_a_rule() {
    for paragraph in LINES.split("\n\n").skip(1) {
        let name = paragraph.lines().next().expect("a name");
        assert!(RULES.iter().any(|rule| rule.name == name), "no rule {name}");
    }
}
