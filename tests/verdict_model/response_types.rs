//! The table of the response types, cell by cell.

use weir::equipment::{Builder, Device, Imei, RuleSpec, Scope, Status, Tac, Validity};
use weir::policy::{Combine, Inquiry, PolicySpec, Rulebook};
use weir::time::UnixTime;

/// Declares one test for each cell of the table of the response types: which
/// of white, grey and black there is, and what each type answers.
macro_rules! cells {
    ($($present:literal => $($name:ident $combine:ident $expected:literal),+;)+) => {$($(
        #[test]
        fn $name() {
            assert_eq!(typed(Combine::$combine, $present), $expected);
        }
    )+)+};
}

cells! {
    "white" => white_type1 Type1 "whitelisted", white_type2 Type2 "whitelisted",
        white_type3 Type3 "whitelisted";
    "white grey" => white_grey_type1 Type1 "greylisted", white_grey_type2 Type2 "greylisted",
        white_grey_type3 Type3 "greylisted";
    "white grey black" => all_type1 Type1 "blacklisted", all_type2 Type2 "blacklisted",
        all_type3 Type3 "blacklisted";
    "white black" => white_black_type1 Type1 "blacklisted",
        white_black_type2 Type2 "blacklisted", white_black_type3 Type3 "blacklisted";
    "grey" => grey_type1 Type1 "greylisted", grey_type2 Type2 "greylisted",
        grey_type3 Type3 "unknown";
    "grey black" => grey_black_type1 Type1 "blacklisted", grey_black_type2 Type2 "blacklisted",
        grey_black_type3 Type3 "unknown";
    "black" => black_type1 Type1 "blacklisted", black_type2 Type2 "blacklisted",
        black_type3 Type3 "unknown";
    "" => none_type1 Type1 "whitelisted", none_type2 Type2 "unknown", none_type3 Type3 "unknown";
}

/// What a type answers a device that is on the lists of these colours.
fn typed(combine: Combine, present: &str) -> &'static str {
    let mut builder = Builder::new();
    let file = builder.file("lists.csv").unwrap();
    for (line, colour) in (1..).zip(present.split_whitespace()) {
        let status = colour.parse().unwrap();
        let list = builder.list(colour, status).unwrap();
        let rule = RuleSpec {
            scope: Scope::Device(Device::from_number(49_015_420_323_751).unwrap()),
            status,
            validity: Validity::ALWAYS,
            reason: None,
            exceptions: &[],
            file,
            line,
        };
        builder.rule(list, rule).unwrap();
        // Of a less specific kind, so that it does not count beside the others.
        let scope = Scope::Tac(Tac::from_digits(b"49015420").unwrap());
        let white = RuleSpec {
            scope,
            status: Status::Whitelisted,
            ..rule
        };
        builder.rule(list, white).unwrap();
    }
    let default = PolicySpec {
        combine,
        unlisted: combine.unlisted(),
        ..PolicySpec::new("default")
    };
    let rulebook = Rulebook::new(builder.finish(), None, default, Vec::new()).unwrap();
    let inquiry = Inquiry {
        imei: Imei::parse(b"490154203237518"),
        svn: None,
        imsi: None,
        origin_host: b"mme.example",
        origin_realm: b"example",
        route_record: None,
    };
    rulebook.decide(&inquiry, UnixTime(0)).outcome.name()
}
