//! The shapes of requests that real clients send, and odd ones that cost
//! nobody the service: each is answered normally. A wrong refusal here is a
//! phone without a network.

mod support;

use support::Bench;
use support::assert_answer_obeys_rules;
use support::bench::{BLACK, BOUND, BOUND_IMSI, EXAMPLE, EXCEPTED_IMSI, GREY, UNKNOWN, WHITE};
use support::bytes::{
    EIR, M, MME, REALM, RP, Request, S13, SESSION, TGPP, V, VM, avp, base, group, number, terminal,
    terminal_of, tgpp,
};
use weir::equipment::{Builder, Status};
use weir::policy::{Malformed, Outcome, PolicySpec, Rulebook, Unlisted, Verdict};
use weir::service::{Checked, Observer};

/// Asks and returns the verdict: a status, or the code of the error.
fn verdict(request: &Request) -> Result<u32, u32> {
    Bench::open().ask(&request.bytes()).verdict()
}

/// An ECR without User-Name and Software-Version.
fn plain(imei: &str) -> Request {
    Request::ecr(imei)
        .without(1)
        .instead(1401, terminal_of(imei))
}

//----------- Clients ---------------------------------------------------------

/// The ECR of the Open5GS MME, AVP by AVP in its order; the EIR's host and the
/// IMSI where they are there.
fn open5gs(host: bool, terminal_information: Option<Vec<u8>>) -> Request {
    let mut request = Request::new(RP, 324, S13)
        .with(base(263, format!("{MME};1766000000;1;app_s13")))
        .with(base(260, group(&[number(266, TGPP), number(258, S13)])))
        .with(number(277, 1))
        .with(base(264, MME))
        .with(base(296, REALM));
    if host {
        request = request.with(base(293, EIR));
    }
    request = request.with(base(283, REALM));
    if let Some(terminal_information) = terminal_information {
        request = request.with(terminal_information);
    }
    request.with(base(1, "001010123456789"))
}

#[test]
fn clients_seen_in_the_field() {
    let imeisv = |imei: &str| Some(terminal(&[tgpp(1402, imei), tgpp(1403, "86")]));
    let rows: Vec<(&str, Request, Result<u32, u32>)> = vec![
        ("Open5GS", open5gs(false, imeisv(WHITE)), Ok(0)),
        ("Open5GS, black", open5gs(true, imeisv(BLACK)), Ok(1)),
        ("Open5GS, grey", open5gs(true, imeisv(GREY)), Ok(2)),
        (
            "Open5GS, unknown",
            open5gs(true, imeisv(UNKNOWN)),
            Err(5422),
        ),
        ("Open5GS, no IMEISV", open5gs(true, None), Err(5005)),
        (
            "VectorCore: Luhn digit, V alone, no 260",
            Request::ecr(WHITE).instead(
                1401,
                avp(
                    1401,
                    VM,
                    Some(TGPP),
                    &group(&[
                        avp(1402, V, Some(TGPP), b"352099001761481"),
                        avp(1403, V, Some(TGPP), b"01"),
                    ]),
                ),
            ),
            Ok(0),
        ),
        (
            "PyHSS: 260 names Gx, SVN 00",
            Request::ecr(WHITE)
                .with(base(
                    260,
                    group(&[number(266, TGPP), number(258, 16_777_238)]),
                ))
                .instead(1401, terminal(&[tgpp(1402, WHITE), tgpp(1403, "00")])),
            Ok(0),
        ),
        (
            "MAP interworking: no IMSI",
            Request::ecr(WHITE).without(1),
            Ok(0),
        ),
        (
            "Cisco's second ECR: MSISDN and ECGI, M clear",
            Request::ecr(WHITE)
                .with(avp(701, V, Some(TGPP), &[0x94, 0x71, 0x01, 0x32]))
                .with(avp(1602, V, Some(TGPP), &[0; 7])),
            Ok(0),
        ),
        (
            "the CER's application ids in the ECR",
            Request::ecr(WHITE)
                .with(number(258, S13))
                .with(number(259, 0)),
            Ok(0),
        ),
    ];
    for (name, request, want) in rows {
        println!("{name}");
        assert_eq!(verdict(&request), want, "{name}");
    }
}

//----------- Forms of the IMEI -----------------------------------------------

#[test]
fn one_device_in_every_form() {
    for (digits, status) in [(WHITE, 0), (BLACK, 1), (GREY, 2)] {
        let mut forms = vec![digits.to_owned()];
        // All check digits: the right one, a spare zero, and eight wrong ones.
        forms.extend((0..10).map(|digit| format!("{digits}{digit}")));
        forms.extend(["00", "01", "99"].map(|svn| format!("{digits}{svn}")));
        forms.extend(["imei-", "imeisv-"].map(|prefix| format!("{prefix}{digits}")));
        forms.push(format!("imeisv-{digits}86"));
        for form in forms {
            assert_eq!(verdict(&plain(&form)), Ok(status), "{form}");
        }
    }
}

#[test]
fn order_of_the_members_does_not_matter() {
    let members = [
        tgpp(1403, "86"),
        tgpp(1471, [0; 8]),
        tgpp(1402, WHITE),
        avp(7777, V, Some(TGPP), b"odd"),
    ];
    let mut orders = vec![members.to_vec()];
    for rotation in 1..4 {
        let mut order = members.to_vec();
        order.rotate_left(rotation);
        orders.push(order);
    }
    for order in orders {
        let request = Request::ecr(WHITE).instead(1401, terminal(&order));
        assert_eq!(verdict(&request), Ok(0));
    }
}

//----------- Optional values that are no values ------------------------------

#[test]
fn an_odd_software_version_counts_as_absent() {
    let with = |svn: &[u8]| {
        let members = [tgpp(1402, EXAMPLE), tgpp(1403, svn)];
        Request::ecr(EXAMPLE).instead(1401, terminal(&members))
    };
    assert_eq!(verdict(&with(b"86")), Ok(1), "the rule is for 86");
    assert_eq!(verdict(&with(b"85")), Err(5422));
    for odd in [&b""[..], b"8", b"086", b"8a", b"\x86", b"86 "] {
        assert_eq!(verdict(&with(odd)), Err(5422), "{odd:?}");
    }
    // Then the IMEI's own version counts.
    let sixteen = format!("{EXAMPLE}86");
    assert_eq!(verdict(&plain(&sixteen)), Ok(1));
    let members = [tgpp(1402, &sixteen), tgpp(1403, "x")];
    let request = Request::ecr(EXAMPLE).instead(1401, terminal(&members));
    assert_eq!(verdict(&request), Ok(1));
}

#[test]
fn an_odd_user_name_counts_as_absent() {
    let with = |imsi: &str| Request::ecr(BLACK).instead(1, base(1, imsi));
    assert_eq!(verdict(&with(EXCEPTED_IMSI)), Ok(0), "its exception");
    for odd in [
        "",
        "x",
        "00101000000000900",
        "001010000000009@ims.mnc001.mcc001.3gppnetwork.org",
        "00101000000000\u{666}",
        "12345",
    ] {
        assert_eq!(verdict(&with(odd)), Ok(1), "{odd:?}");
    }
    let bound = |imei: &str, imsi: &str| verdict(&Request::ecr(imei).instead(1, base(1, imsi)));
    assert_eq!(bound(BOUND, BOUND_IMSI), Ok(0));
    assert_eq!(bound(WHITE, BOUND_IMSI), Ok(1), "another device");
    assert_eq!(bound(WHITE, ""), Ok(0));
}

//----------- AVPs known and ignored ------------------------------------------

/// A stray M bit, or a length that does not fit the type, of an AVP that an
/// EIR has no use for.
#[test]
fn known_avps_without_a_use_are_ignored() {
    let ietf = [
        258, 259, 260, 278, 55, 301, 621, 622, 623, 624, 625, 626, 627, 649, 650, 651, 652, 284,
        282, 33, 280,
    ];
    let tgpp_codes = [628, 629, 630, 1471];
    let data = [
        &b""[..],
        b"1",
        b"four",
        b"seven..",
        b"eight...",
        &[0xff; 33],
    ];
    let mut bench = Bench::open();
    for data in data {
        for flags in [0, M, M | 0x20, 0x1f] {
            let plain = ietf.map(|code| avp(code, flags, None, data));
            let vendored = ietf.map(|code| avp(code, flags | V, Some(0), data));
            let foreign = tgpp_codes.map(|code| avp(code, flags | V, Some(TGPP), data));
            for extra in plain.iter().chain(&vendored).chain(&foreign) {
                let place = format!("{extra:02x?}");
                let request = Request::ecr(WHITE).with(extra.clone());
                assert_eq!(bench.ask(&request.bytes()).verdict(), Ok(0), "{place}");
                let request = Request::ecr(WHITE).with_first(extra.clone());
                assert_eq!(bench.ask(&request.bytes()).verdict(), Ok(0), "{place}");
                // The same inside Terminal-Information.
                let members = [extra.clone(), tgpp(1402, WHITE), extra.clone()];
                let request = Request::ecr(WHITE).instead(1401, terminal(&members));
                assert_eq!(bench.ask(&request.bytes()).verdict(), Ok(0), "{place}");
            }
        }
    }
}

#[test]
fn unknown_avps_without_m_are_ignored() {
    let mut bench = Bench::open();
    for flags in [0, 0x20, 0x1f] {
        for extra in [
            avp(9999, flags, None, b"abc"),
            avp(0, flags, None, b""),
            avp(u32::MAX, flags | V, Some(u32::MAX), b"x"),
            // A group without M may be ignored although a member has M.
            avp(9999, flags, None, &base(9998, "x")),
            // The numbers of known AVPs, of another vendor.
            avp(268, flags | V, Some(99), b""),
            avp(1402, flags, None, UNKNOWN.as_bytes()),
        ] {
            let request = Request::ecr(WHITE).with(extra.clone());
            assert_eq!(bench.ask(&request.bytes()).verdict(), Ok(0), "{extra:02x?}");
            let request = Request::dwr().with(extra.clone());
            assert_eq!(bench.ask(&request.bytes()).result_code(), Some(2001));
        }
    }
}

//----------- Flags -----------------------------------------------------------

#[test]
fn flags_that_differ_from_the_standard_are_accepted() {
    // M absent, P and reserved bits set, on every AVP.
    for flags in [0, M, 0x20, 0x3f, 0x7f] {
        let request = Request::new(RP, 324, S13)
            .with(avp(263, flags, None, SESSION.as_bytes()))
            .with(avp(277, flags, None, &[0, 0, 0, 1]))
            .with(avp(264, flags, None, MME.as_bytes()))
            .with(avp(296, flags, None, REALM.as_bytes()))
            .with(avp(283, flags, None, REALM.as_bytes()))
            .with(avp(
                1401,
                flags | V,
                Some(TGPP),
                &avp(1402, flags | V, Some(TGPP), WHITE.as_bytes()),
            ));
        assert_eq!(verdict(&request), Ok(0), "{flags:02x}");
        // V with vendor 0 is no vendor.
        let host = avp(264, flags | V, Some(0), MME.as_bytes());
        assert_eq!(verdict(&request.instead(264, host)), Ok(0), "{flags:02x}");
    }
}

#[test]
fn command_flags_besides_r_and_e_do_not_matter() {
    // P clear, T set, reserved bits set: every combination.
    for flags in (0x80..=0xff_u8).filter(|flags| flags & 0x20 == 0) {
        let request = Request::ecr(WHITE).flags(flags);
        let answer = Bench::open().ask(&request.bytes());
        assert_eq!(answer.verdict(), Ok(0), "{flags:02x}");
        assert_eq!(answer.flags, flags & 0x40, "{flags:02x}");
        let request = Request::dwr().flags(flags);
        let answer = Bench::open().ask(&request.bytes());
        assert_eq!(answer.result_code(), Some(2001), "{flags:02x}");
    }
}

//----------- Destination -----------------------------------------------------

#[test]
fn destinations_compare_without_case() {
    for host in [EIR.to_owned(), EIR.to_uppercase(), EIR.replace('e', "E")] {
        for realm in [REALM.to_owned(), REALM.to_uppercase()] {
            let request = Request::ecr(WHITE)
                .with(base(293, &host))
                .instead(283, base(283, &realm));
            assert_eq!(verdict(&request), Ok(0), "{host} {realm}");
        }
    }
}

#[test]
fn auth_session_state_may_say_anything() {
    for state in [0, 1, 2, u32::MAX] {
        let request = Request::ecr(WHITE).instead(277, number(277, state));
        assert_eq!(verdict(&request), Ok(0));
    }
}

//----------- Overload control and priority -----------------------------------

#[test]
fn overload_control_is_answered_where_it_is_asked_for() {
    let features = avp(621, 0, None, &avp(622, 0, None, &3u64.to_be_bytes()));
    let mut bench = Bench::open();
    for (imei, code) in [(WHITE, None), (UNKNOWN, Some(5422)), ("x", Some(5004))] {
        let request = Request::ecr(imei);
        let without = bench.ask(&request.bytes());
        assert!(without.all(621).is_empty());
        let with = bench.ask(&request.with(features.clone()).bytes());
        assert_eq!(with.all(621).len(), 1, "{imei}");
        assert_eq!(with.verdict().err(), code);
    }
    // A fault that ends the reading early does not hide it.
    let request = Request::ecr(WHITE).without(277).with(features);
    assert_eq!(bench.ask(&request.bytes()).all(621).len(), 1);
}

/// The answer inherits the request's priority without repeating it.
#[test]
fn priorities_do_not_come_back() {
    for priority in [0, 2, 15, 99] {
        let request = Request::ecr(WHITE).with(avp(301, 0, None, &u32::to_be_bytes(priority)));
        let answer = Bench::open().ask(&request.bytes());
        assert!(answer.all(301).is_empty());
        assert_eq!(answer.verdict(), Ok(0));
    }
}

//----------- Policies --------------------------------------------------------

/// Watches what is told of shadows.
#[derive(Default)]
struct Shadows(Vec<(Outcome, Outcome)>);

impl Observer for Shadows {
    fn shadowed(&mut self, check: &Checked<'_>, shadow: &Verdict) {
        self.0.push((check.verdict.outcome, shadow.outcome));
    }
}

/// A bench with one policy that greylists, malformed IMEIs too.
fn bench_with(policy: PolicySpec) -> Bench {
    let mut builder = Builder::new();
    builder.list("none", Status::Blacklisted).unwrap();
    let default = PolicySpec::new("default");
    let policy = PolicySpec {
        unlisted: Unlisted::Status(Status::Greylisted),
        malformed: Malformed::Status(Status::Greylisted),
        ..policy
    };
    let rulebook = Rulebook::new(builder.finish(), None, default, vec![policy]).unwrap();
    Bench {
        rulebook,
        ..Bench::open()
    }
}

#[test]
fn the_first_agent_chooses_the_policy() {
    let policy = PolicySpec {
        route_records: vec!["*.visited.example".to_owned()],
        ..PolicySpec::new("visited")
    };
    for (routes, expected) in [
        (&[][..], Err(5422)),
        (&["mme.VISITED.example"], Ok(2)),
        (&["mme.visited.example", "dra.home.example"], Ok(2)),
        (&["dra.home.example", "mme.visited.example"], Err(5422)),
        (&["visited.example"], Err(5422)),
        (&[""], Err(5422)),
    ] {
        let mut request = Request::ecr(UNKNOWN);
        for route in routes {
            request = request.with(base(282, *route));
        }
        let answer = bench_with(policy.clone()).ask(&request.bytes());
        assert_eq!(answer.verdict(), expected, "{routes:?}");
    }
}

#[test]
fn shadows_are_told_of_and_change_nothing() {
    let policy = PolicySpec {
        imsi_prefixes: vec!["00101".to_owned()],
        shadow: true,
        ..PolicySpec::new("tried")
    };
    let mut bench = bench_with(policy);
    let subscriber = |request: Request| request.instead(1, base(1, BOUND_IMSI));
    let elsewhere = |request: Request| request.instead(1, base(1, "901010000000001"));
    let malformed = || Request::ecr(UNKNOWN).instead(1401, terminal_of("none"));
    let grey = Outcome::Status(Status::Greylisted);
    for (request, answered, told) in [
        (
            subscriber(Request::ecr(UNKNOWN)),
            5422,
            Some(Outcome::Unknown),
        ),
        (elsewhere(Request::ecr(UNKNOWN)), 5422, None),
        (subscriber(malformed()), 5004, Some(Outcome::Malformed)),
        (elsewhere(malformed()), 5004, None),
    ] {
        let bytes = request.bytes();
        let mut shadows = Shadows::default();
        let Bench {
            connection,
            rulebook,
            now,
            out,
            ..
        } = &mut bench;
        connection.handle_input(*now, &bytes, rulebook, out, &mut shadows);
        let answer = assert_answer_obeys_rules(&bytes, &bench.taken()[0]);
        assert_eq!(answer.verdict(), Err(answered));
        let expected: Vec<_> = told.map(|told| (told, grey)).into_iter().collect();
        assert_eq!(shadows.0, expected);
    }
}

//----------- Routes ----------------------------------------------------------

#[test]
fn many_agents_are_passed_back_in_order() {
    let mut request = Request::ecr(WHITE);
    for number in 0..200u32 {
        let state = number.to_be_bytes();
        let state = &state[..usize::try_from(number % 5).expect("small")];
        let members = [base(280, format!("dra{number}")), base(33, state)];
        request = request
            .with(base(284, group(&members)))
            .with(base(282, format!("dra{number}")));
    }
    let answer = Bench::open().ask(&request.bytes());
    assert_eq!(answer.verdict(), Ok(0));
    let hosts: Vec<String> = answer
        .all(284)
        .iter()
        .map(|proxy| proxy.members()[0].text().to_owned())
        .collect();
    let want: Vec<String> = (0..200).map(|number| format!("dra{number}")).collect();
    assert_eq!(hosts, want);
}
