//! The configuration: its defaults, and what is said of mistakes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use weir::config::Config;
use weir::equipment::{Special, Status};
use weir::policy::{Combine, Malformed, Unlisted};
use weir::time::UnixTime;

/// Checks a text as `weir.toml`.
fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("weir.toml")).map_err(|error| error.to_string())
}

/// The printed configuration with its examples uncommented: lines that start
/// with `#` and no blank.
fn with_examples() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(example) if !example.is_empty() && !example.starts_with(' ') => example.to_owned(),
        _ => line.to_owned(),
    };
    let text: Vec<String> = Config::commented_default().lines().map(line).collect();
    // The sample goes with no other lists.
    text.join("\n").replace("sample = true", "sample = false")
}

//----------- Defaults --------------------------------------------------------

#[test]
fn the_printed_configuration_is_the_default() {
    assert_eq!(parse(Config::commented_default()), Ok(Config::default()));
}

#[test]
fn an_empty_file_is_the_default_without_the_sample() {
    let mut expected = Config::default();
    expected.register.sample = false;
    let config = parse("").unwrap();
    assert_eq!(config, expected);
    assert_eq!(config.warnings().len(), 1);
    assert!(config.warnings()[0].contains("every device is answered as unlisted"));
    assert_eq!(Config::default().warnings(), [""; 0]);
}

#[test]
fn every_key_is_in_the_printed_configuration() {
    let text = with_examples();
    parse(&text).unwrap();
    // What the parser would have accepted in place of an unknown key is the
    // full list of the keys of that table.
    let tables = [
        (
            "",
            "diameter register list binding tac special policy runtime log",
        ),
        ("[diameter]", ""),
        ("[diameter.sctp]", ""),
        ("[diameter.allow]", ""),
        ("[diameter.deny]", ""),
        ("[diameter.tls]", ""),
        ("[[diameter.peer]]", ""),
        ("[[diameter.connect]]", ""),
        ("[register]", ""),
        ("[[list]]", ""),
        ("[[binding]]", ""),
        ("[[tac]]", ""),
        ("[[special]]", ""),
        ("[[policy]]", ""),
        ("[runtime]", ""),
        ("[log]", ""),
    ];
    for (table, more) in tables {
        let probe = match table {
            "" => "zzzzzzzzzzzz = 1\n".to_owned(),
            _ => format!("{table}\nzzzzzzzzzzzz = 1\n"),
        };
        let error = parse(&probe).unwrap_err();
        let (_, known) = error.split_once("known are ").unwrap();
        let known: BTreeSet<&str> = known.split('`').skip(1).step_by(2).collect();
        assert!(known.len() >= 2, "{error}");
        let section = match table {
            "" => more.to_owned(),
            _ => {
                let (_, rest) = text.split_once(&format!("\n{table}\n")).unwrap();
                rest.split("\n[").next().unwrap().to_owned()
            }
        };
        for key in known {
            let written = section
                .lines()
                .any(|line| line.starts_with(&format!("{key} = ")))
                || section.split(' ').any(|word| word == key)
                || text.contains(&format!("[[diameter.{key}]]"))
                || text.contains(&format!("[diameter.{key}]"));
            assert!(written, "`{key}` of {table} is missing");
        }
    }
    for key in [
        "origin_host",
        "origin_realm",
        "route_record",
        "imsi_prefix",
        "imsi_range",
    ] {
        let inline = text
            .lines()
            .find(|line| line.starts_with("match = {"))
            .unwrap();
        assert!(inline.contains(&format!("{key} = ")), "{key}");
    }
}

#[test]
fn the_written_configuration_reads_as_the_same() {
    let config = parse(&with_examples()).unwrap();
    let written = toml::to_string(&config).unwrap();
    assert_eq!(parse(&written), Ok(config), "{written}");
}

//----------- Values ----------------------------------------------------------

#[test]
fn values_mean_what_they_say() {
    let config = parse(
        r#"
        [diameter]
        listen = "tcp://[::]:13868"
        realms = ["a.example", "b.example"]
        watchdog = "1m"
        drain_timeout = "0s"
        unknown_peers = false
        [[diameter.peer]]
        origin_host = "mme.example"
        [register]
        override = "permitted"
        unlisted = "black"
        malformed = 5004
        [[list]]
        name = "x"
        status = "grey"
        path = "x.csv"
        [[binding]]
        path = ["iot/meters/*.csv.gz", "more.csv"]
        mismatch = "grey"
        match = "white"
        [[policy]]
        name = "p"
        match = { origin_host = "mme.example", imsi_range = ["001010-001019"] }
        lists = ["x", "iot/meters"]
        unlisted = 5422
        malformed = "white"
        combine = "type2"
        [[policy]]
        name = "q"
        match = { origin_realm = "*.example", route_record = "a.example" }
        unlisted = { status = "grey", until = "2026-12-31" }
        override = "white"
        shadow = true
        [[special]]
        name = "odd"
        kinds = ["zero", "unallocated_tac"]
        status = "grey"
        until = "2026-12-31T12:00:00Z"
        "#,
    )
    .unwrap();
    let diameter = &config.diameter;
    assert_eq!(diameter.listen.len(), 1);
    assert_eq!(
        (
            diameter.listen[0].endpoint.hosts[0].as_str(),
            diameter.listen[0].endpoint.port
        ),
        ("::", 13868)
    );
    assert_eq!(diameter.watchdog, Duration::from_secs(60));
    assert_eq!(diameter.drain_timeout, Duration::ZERO);
    assert_eq!(diameter.peers[0].origin_realm, None);
    assert_eq!(config.register.override_status, Some(Status::Whitelisted));
    assert_eq!(
        config.register.unlisted,
        Some(Unlisted::Status(Status::Blacklisted))
    );
    assert_eq!(config.register.malformed, Malformed::Fault);
    assert_eq!(config.lists[0].path, ["x.csv"]);
    assert_eq!(config.bindings[0].name(), "iot/meters");
    assert_eq!(config.bindings[0].mismatch, Status::Greylisted);
    assert_eq!(config.bindings[0].on_match, Some(Status::Whitelisted));
    assert_eq!(config.policies[0].unlisted, Some(Unlisted::Unknown));
    assert_eq!(
        config.policies[0].malformed,
        Some(Malformed::Status(Status::Whitelisted))
    );
    assert!(config.warnings()[0].contains("override is set"));
    let register = &config.register;
    assert_eq!(config.policies[0].combine(register), Combine::Type2);
    let tried = &config.policies[1];
    assert_eq!(tried.combine(register), Combine::Strictest);
    let grace = Unlisted::Grace {
        status: Status::Greylisted,
        until: UnixTime(1_798_761_599),
        then: None,
    };
    assert_eq!(tried.unlisted(register), grace);
    assert_eq!(tried.override_status, Some(Status::Whitelisted));
    assert!(tried.shadow && !config.policies[0].shadow);
    let odd = &config.specials[0];
    assert_eq!(odd.kinds, [Special::Zero, Special::UnallocatedTac]);
    assert_eq!(odd.until, Some(UnixTime(1_798_718_400)));
}

/// `combine` says what the unlisted are answered, where nothing else does.
#[test]
fn type_1_whitelists_the_unlisted_unless_told_otherwise() {
    let policy = "[[policy]]\nname = \"p\"\nmatch = { imsi_prefix = \"1\" }\n";
    let white = Unlisted::Status(Status::Whitelisted);
    for (register, own, default, asked, warned) in [
        ("", "", Unlisted::Unknown, Unlisted::Unknown, 0),
        ("combine = \"type1\"", "", white, white, 0),
        ("", "combine = \"type1\"", Unlisted::Unknown, white, 0),
        (
            "combine = \"type1\"",
            "combine = \"type3\"",
            white,
            Unlisted::Unknown,
            0,
        ),
        (
            "unlisted = \"unknown\"",
            "combine = \"type1\"",
            Unlisted::Unknown,
            Unlisted::Unknown,
            1,
        ),
        (
            "combine = \"type1\"\nunlisted = \"unknown\"",
            "unlisted = \"white\"",
            Unlisted::Unknown,
            white,
            1,
        ),
    ] {
        let config = parse(&format!(
            "[register]\nsample = true\n{register}\n{policy}{own}"
        ))
        .unwrap();
        assert_eq!(config.register.unlisted(), default, "{register} {own}");
        assert_eq!(
            config.policies[0].unlisted(&config.register),
            asked,
            "{register} {own}"
        );
        assert_eq!(config.warnings().len(), warned, "{register} {own}");
    }
}

#[test]
fn bindings_are_named_after_their_first_path() {
    for (path, name) in [
        ("meters.csv", "meters"),
        ("bindings/*.csv", "bindings"),
        ("iot/sims-*.csv.gz", "iot/sims-"),
        ("/etc/weir/b.csv", "/etc/weir/b"),
        ("*.csv", "binding"),
        ("v1.2/sims.csv", "v1.2/sims"),
    ] {
        let config = parse(&format!("[[binding]]\npath = \"{path}\"")).unwrap();
        assert_eq!(config.bindings[0].name(), name, "{path}");
    }
}

//----------- Mistakes --------------------------------------------------------

#[test]
fn mistakes_are_told_in_one_line_with_their_place() {
    for (text, expected) in [
        (
            "[diameter]\nwatchdgo = \"30s\"",
            "weir.toml:2:1: unknown key `watchdgo` in [diameter]; did you mean `watchdog`?",
        ),
        (
            "[diametre]\n",
            "weir.toml:1:2: unknown key `diametre`; did you mean `diameter`?",
        ),
        (
            "\n[[diameter.peer]]\norigin_host = \"a\"\nrealm = \"b\"",
            "weir.toml:4:1: unknown key `realm` in [[diameter.peer]]; known are `origin_host`, `origin_realm`, `network`, `connections`",
        ),
        (
            "[[policy]]\nname = \"p\"\nmatch = { imsi_prefx = \"1\" }",
            "weir.toml:3:11: unknown key `imsi_prefx` in `match` of [[policy]]; did you mean `imsi_prefix`?",
        ),
        (
            "[diameter]\nwatchdog = \"3s\"",
            "weir.toml:2:12: `watchdog` in [diameter] is 3s; allowed are 6s to 1h",
        ),
        (
            "[diameter]\nwatchdog = 30",
            "weir.toml:2:12: `watchdog` in [diameter] is no duration; write for example \"30s\"",
        ),
        (
            "[diameter]\n\ndrain_timeout = \"1d\"",
            "weir.toml:3:17: `drain_timeout` in [diameter]: `1d` is no duration; write a number and ms, s, m or h, as in \"30s\"",
        ),
        (
            "[diameter]\nmax_message = 2097152",
            "weir.toml:2:15: `max_message` in [diameter] is 2097152; allowed are 4096 to 1048576",
        ),
        (
            "[diameter]\nmax_message = 65535",
            "weir.toml:2:15: `max_message` in [diameter] is 65535; Diameter messages are multiples of 4 bytes, write 65532",
        ),
        (
            "[diameter]\nmax_connections = -1",
            "weir.toml:2:19: `max_connections` in [diameter]: -1 is less than 0",
        ),
        (
            "[diameter]\nvendor_id = 4294967296",
            "weir.toml:2:13: `vendor_id` in [diameter]: 4294967296 is too large",
        ),
        (
            "[diameter]\norigin_host = \"\"",
            "weir.toml:2:15: `origin_host` in [diameter]: `` is no DiameterIdentity; write a domain name of 1 to 255 ASCII characters",
        ),
        (
            "[diameter]\nlisten = [\"tcp://127.0.0.1\", \"udp://127.0.0.1\"]",
            "weir.toml:2:30: `listen` in [diameter]: `udp://127.0.0.1`: unknown transport `udp`; write `tcp://127.0.0.1`, `tls://` or `sctp://`",
        ),
        (
            "[diameter]\nlisten = [\"tcp://a\", { address = \"sctp://b\", rto_mim = \"1s\" }]",
            "weir.toml:2:46: unknown key `rto_mim` in [[diameter.listen]]; did you mean `rto_min`?",
        ),
        (
            "[diameter]\nlisten = [{ address = \"tcp://b\", rto_min = \"1s\" }]",
            "weir.toml:2:11: `listen` in [diameter]: `tcp://b:3868` is no sctp:// address; only those have keys",
        ),
        (
            "[diameter]\nlisten = [{ address = \"sctp://b\", heartbeat = \"1ms\" }]",
            "weir.toml:2:47: `heartbeat` in [[diameter.listen]] is 1ms; allowed are 100ms to 1h",
        ),
        (
            "[diameter.sctp]\nstreams_in = 0",
            "weir.toml:2:14: `streams_in` in [diameter.sctp] is 0; allowed are 1 to 1024",
        ),
        (
            "[diameter.sctp]\npath_max_retrans = 70000",
            "weir.toml:2:20: `path_max_retrans` in [diameter.sctp]: 70000 is too large",
        ),
        (
            "[diameter.sctp]\nrto_initial = \"5s\"",
            "weir.toml:2:15: `rto_initial` in [diameter.sctp] is 5s, but must lie between rto_min (300ms) and rto_max (3s)",
        ),
        (
            "[diameter]\nunknown_peers = \"no\"",
            "weir.toml:2:17: `unknown_peers` in [diameter]: invalid type: string \"no\", expected a boolean",
        ),
        (
            "[register]\nunlisted = \"blakc\"",
            "weir.toml:2:12: `unlisted` in [register]: `blakc` is neither `unknown` nor a status; write unknown, whitelisted, greylisted or blacklisted",
        ),
        (
            "[register]\nmalformed = 5005",
            "weir.toml:2:13: `malformed` in [register]: `5005` is neither `5004` nor a status; write 5004, whitelisted, greylisted or blacklisted",
        ),
        (
            "[[list]]\nname = \"x\"\nstatus = \"black\"",
            "weir.toml:1:1: missing key `path` in [[list]]",
        ),
        (
            "[[list]]\nname = \"x\"\nstatus = \"black\"\npath = \"x\"\nformat = \"dirbs\"",
            "weir.toml:5:10: `format` in [[list]]: unknown variant `dirbs`, expected one of `csv`, `dirbs-blacklist`, `dirbs-notifications`, `dirbs-exceptions`, `dirbs-pairing`, `pyhss`, `open5gs`, `eagle`, `gsma-tac`, `osmocom-tac`",
        ),
        (
            "[register]\nsample = true\n[[binding]]\npath = \"x\"",
            "weir.toml:2:10: `sample` in [register] is true beside lists of your own; remove it, the sample is of test IMEIs",
        ),
        (
            "[register]\nsnapshot = \"x\"\nsample = true",
            "weir.toml:3:10: `sample` in [register] is true beside `snapshot`; remove it, the sample is of test IMEIs",
        ),
        (
            "[[binding]]\npath = \"x.csv\"\n[[binding]]\npath = \"x.csv\"",
            "weir.toml:4:8: `path` in [[binding]]: the name `x` is taken; names must differ, give another `name`",
        ),
        (
            "[[policy]]\nname = \"p\"\nmatch = {}",
            "weir.toml:3:9: `match` in [[policy]] is empty; name an origin_host, origin_realm, route_record, imsi_prefix or imsi_range (what holds for everybody is said in [register])",
        ),
        (
            "[[list]]\nname = \"gsma\"\nstatus = \"black\"\npath = \"x\"\n[[policy]]\nname = \"p\"\nmatch = { imsi_prefix = \"1\" }\nlists = [\"gsma\", \"gmsa\"]",
            "weir.toml:8:18: `lists` in [[policy]]: no list or binding is called `gmsa`; did you mean `gsma`?",
        ),
        (
            "[[policy]]\nname = \"p\"\nmatch = { imsi_range = \"001019-001010\" }",
            "weir.toml:3:24: `imsi_range` in `match` of [[policy]]: `001019-001010` is no IMSI range: the first is above the last",
        ),
        (
            "[[list]]\nname = \"x\"\nstatus = \"black\"\npath = \"x\"\nformat = \"gsma-tac\"",
            "weir.toml:5:10: `format` in [[list]]: `gsma-tac` is for [[tac]]",
        ),
        (
            "[[list]]\nname = \"x\"\nstatus = \"grey\"\npath = \"x\"\nformat = \"dirbs-blacklist\"",
            "weir.toml:3:10: `status` in [[list]] is greylisted, but what a list of `dirbs-blacklist` names is blacklisted; write blacklisted",
        ),
        (
            "[[list]]\nname = \"x\"\nstatus = \"grey\"\npath = \"x\"\nstrict_svn = true",
            "weir.toml:5:14: `strict_svn` in [[list]] is for the format `open5gs` only",
        ),
        (
            "[register]\nmax_change = \"0.25\"",
            "weir.toml:2:14: `max_change` in [register]: `0.25` is no percentage; write for example \"25%\", or \"off\" for any change",
        ),
        (
            "[runtime]\nworkers = 0",
            "weir.toml:2:11: `workers` in [runtime] is 0; allowed are 1 to 256",
        ),
        (
            "[runtime]\nworkers = 257",
            "weir.toml:2:11: `workers` in [runtime] is 257; allowed are 1 to 256",
        ),
        (
            "[runtime]\naffinity = [0, 1024]",
            "weir.toml:2:16: `affinity` in [runtime]: there is no processor 1024; they have the numbers 0 to 1023",
        ),
        (
            "[runtime]\naffinity = [1, 2, 1]",
            "weir.toml:2:19: `affinity` in [runtime]: processor 1 is named twice; name it once, and have fewer `workers`",
        ),
        (
            "[runtime]\nworkers = 1\naffinity = [0, 1]",
            "weir.toml:3:12: `affinity` in [runtime]: 2 processors for 1 `workers`; have as many workers, or name fewer processors",
        ),
        (
            "[runtime]\nbusy_poll = 10001",
            "weir.toml:2:13: `busy_poll` in [runtime] is 10001; allowed are 0 to 10000 microseconds",
        ),
        (
            "[register]\nkeep = 0",
            "weir.toml:2:8: `keep` in [register] is 0; allowed are 1 to 100",
        ),
        (
            "[register]\nunlisted = { status = \"grey\", until = \"soon\" }",
            "weir.toml:2:39: `until` in [register.unlisted]: `soon` is no date; write 2026-01-31, or 2026-01-31T12:00:00Z for a moment",
        ),
        (
            "[register]\nunlisted = { status = \"grey\" }",
            "weir.toml:2:12: missing key `until` in [register.unlisted]",
        ),
        (
            "[register]\ncombine = \"type4\"",
            "weir.toml:2:11: `combine` in [register]: unknown variant `type4`, expected one of `strictest`, `order`, `type1`, `type2`, `type3`",
        ),
        (
            "[[special]]\nname = \"odd\"\nstatus = \"black\"\nkinds = []",
            "weir.toml:4:9: `kinds` in [[special]] is empty; name one or more of test, zero, repeated, unallocated_tac",
        ),
        (
            "[[special]]\nname = \"odd\"\nstatus = \"black\"\nkinds = [\"nil\"]",
            "weir.toml:4:10: `kinds` in [[special]]: unknown variant `nil`, expected one of `test`, `zero`, `repeated`, `unallocated_tac`",
        ),
        (
            "[[special]]\nname = \"odd\"\nstatus = \"black\"\nkinds = \"zero\"\nfrom = \"2026-02-01\"\nuntil = \"2026-01-31\"",
            "weir.toml:6:9: `until` in [[special]] is 2026-01-31T23:59:59Z, before `from`, 2026-02-01T00:00:00Z",
        ),
        (
            "[[policy]]\nname = \"p\"\nmatch = { origin_host = \"mme*.example\" }",
            "weir.toml:3:25: `origin_host` in `match` of [[policy]]: `mme*.example`: a `*` stands only before a dot, as in `*.example`",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "weir.toml:2:9: `level` in [log]: unknown variant `loud`, expected one of `off`, `error`, `warn`, `info`, `debug`, `trace`",
        ),
    ] {
        assert_eq!(parse(text), Err(expected.to_owned()), "{text}");
    }
}

/// What is said of peers: who may connect, and whom to call.
#[test]
fn mistakes_about_peers_are_told_with_their_remedy() {
    let mut wrong = Vec::new();
    for (text, want) in [
        (
            "[diameter.deny]\nnetwork = [\"10.0.0.0/8\", \"10.1.2.3/16\"]",
            "weir.toml:2:11: `network` in [diameter.deny]: `10.1.2.3/16` has bits set behind the prefix; write `10.1.0.0/16` for the network, or leave the prefix out for the one address",
        ),
        (
            "[diameter.allow]\nnetwork = \"10.0.0.0/40\"",
            "weir.toml:2:11: `network` in [diameter.allow]: `10.0.0.0/40`: the prefix is longer than the address; 32 is the most",
        ),
        (
            "[[diameter.peer]]\norigin_host = \"a\"\nnetwork = \"here\"",
            "weir.toml:3:11: `network` in [[diameter.peer]]: `here` is no network; write an address and a prefix length, as in `10.0.0.0/8` or `2001:db8::/32`",
        ),
        (
            "[diameter.allow]\norigin_host = [\"ok\", \"a*\"]",
            "weir.toml:2:22: `origin_host` in [diameter.allow]: `a*`: a `*` stands only before a dot, as in `*.example`",
        ),
        (
            "[diameter.deny]\norigin_realm = \"a b\"",
            "weir.toml:2:16: `origin_realm` in [diameter.deny]: `a b` is no DiameterIdentity; write a domain name of 1 to 255 ASCII characters",
        ),
        (
            "[diameter]\nconnections_per_peer = 0",
            "weir.toml:2:24: `connections_per_peer` in [diameter] is 0; allowed are 1 to 64",
        ),
        (
            "[[diameter.peer]]\norigin_host = \"a\"\nconnections = 65",
            "weir.toml:3:15: `connections` in [[diameter.peer]] is 65; allowed are 1 to 64",
        ),
        (
            "[[diameter.connect]]\naddress = \"tcp://dra\"",
            "weir.toml:1:1: missing key `origin_host`",
        ),
        (
            "[[diameter.connect]]\norigin_host = \"dra\"\naddress = \"dra:3868\"",
            "weir.toml:3:11: `address` in [[diameter.connect]]: `dra:3868` is no address; write `tcp://dra:3868`",
        ),
        (
            "[[diameter.connect]]\norigin_host = \"dra\"\naddress = \"tcp://dra:0\"",
            "weir.toml:3:11: `address` in [[diameter.connect]]: `tcp://dra:0`: port 0 cannot be called",
        ),
        (
            "[[diameter.connect]]\norigin_host = \"dra\"\naddress = \"tcp://dra\"\nretry = \"10ms\"",
            "weir.toml:4:9: `retry` in [[diameter.connect]] is 10ms; allowed are 1s to 1h",
        ),
        (
            "[diameter]\norigin_host = \"eir.x\"\n[[diameter.connect]]\norigin_host = \"EIR.x\"\naddress = \"tcp://a\"",
            "weir.toml:4:15: `origin_host` in [[diameter.connect]]: `EIR.x` is this EIR itself; write the Origin-Host of the peer",
        ),
        (
            "[[diameter.connect]]\norigin_host = \"a\"\naddress = \"tcp://a\"\n[[diameter.connect]]\norigin_host = \"A\"\naddress = \"tcp://a:3868\"",
            "weir.toml:6:11: `address` in [[diameter.connect]]: `A` at `tcp://a:3868` is named twice",
        ),
    ] {
        match parse(text) {
            Err(error) if error.starts_with(want) => {}
            other => wrong.push(format!("{text}\n  {other:?}\n  {want}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn peers_that_nobody_means_are_warned_of() {
    for (text, part) in [
        ("[diameter]\nunknown_peers = false", "nobody may connect"),
        (
            "[diameter]\nunknown_peers = false\n[diameter.allow]\norigin_host = \"*.x\"\n\
             [[diameter.peer]]\norigin_host = \"a.x\"",
            "let nobody in",
        ),
        (
            "[diameter.deny]\norigin_host = \"*.x\"\n[[diameter.peer]]\norigin_host = \"a.x\"",
            "it may not connect",
        ),
        (
            "[diameter.deny]\norigin_host = \"*.x\"\n[[diameter.connect]]\norigin_host = \"a.x\"\n\
             address = \"tcp://a\"",
            "it is called all the same",
        ),
    ] {
        let warnings = parse(&format!("{text}\n[register]\nsample = true"))
            .unwrap()
            .warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(part), "{warnings:?}");
    }
}

#[test]
fn several_values_that_are_wrong_are_told_together() {
    let error =
        parse("[diameter]\nwatchdog = \"1s\"\noutput_limit = 1\nmax_message = 1").unwrap_err();
    let places: Vec<&str> = error
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(places[0], "weir.toml:2:12:");
    assert!(places.contains(&"weir.toml:3:16:"), "{error}");
    assert!(places.contains(&"weir.toml:4:15:"), "{error}");
}

#[test]
fn text_that_is_not_toml_is_told_with_its_place() {
    for (text, place) in [
        ("[diameter\n", "weir.toml:1:"),
        ("[log]\nlevel = info\n", "weir.toml:2:"),
        (
            "[log]\nlevel = \"info\"\nlevel = \"warn\"",
            "weir.toml:3:1:",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(place), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn files_that_cannot_be_read_are_told_plainly() {
    let dir = tempfile::tempdir().unwrap();
    let load = |name: &str| {
        Config::load(&dir.path().join(name))
            .unwrap_err()
            .to_string()
    };
    assert!(load("weir.toml").contains("weir.toml: no such file"));
    assert!(load(".").contains("is a directory"));
    fs::write(dir.path().join("latin.toml"), b"[log]\n# caf\xe9\n").unwrap();
    assert!(load("latin.toml").contains("latin.toml:2:6: is not UTF-8"));
    let large = fs::File::create(dir.path().join("large.toml")).unwrap();
    large.set_len(5 * 1024 * 1024).unwrap();
    assert!(load("large.toml").contains("is it a list?"));
}

#[test]
fn lists_are_looked_for_beside_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.toml");
    fs::write(&path, "[register]\nlists_dir = \"l\"").unwrap();
    assert_eq!(
        Config::load(&path).unwrap().lists_dir(),
        dir.path().join("l")
    );
    fs::write(&path, "[register]\nlists_dir = \"/var/lib/weir\"").unwrap();
    assert_eq!(
        Config::load(&path).unwrap().lists_dir(),
        Path::new("/var/lib/weir")
    );
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(\\[\\[?(diameter|list|policy)\\]?\\]\n)?([a-z_]{1,8} ?= ?[\"0-9a-z\\[\\]{}]{0,8}\n){0,3}") {
        let _ = parse(&text);
    }
}
