//! `weir explain`: the way to each kind of verdict.

use crate::harness::*;

#[test]
fn every_kind_of_sample_rule_in_text_and_json() {
    for (args, outcome, why) in [
        (
            &["490154203237518"][..],
            "whitelisted",
            "device 49015420323751",
        ),
        (&["001012340000010"], "blacklisted", "reported stolen"),
        (&["00101234000002"], "greylisted", "to be watched"),
        (
            &["0010123400000305"],
            "greylisted",
            "a software version with a fault",
        ),
        (
            &["imeisv-0010123400000305"],
            "greylisted",
            "a software version with a fault",
        ),
        (
            &["00101234000003", "--svn", "05"],
            "greylisted",
            "a software version with a fault",
        ),
        (&["00101234000004"], "blacklisted", "cloned"),
        (
            &["00101234000004", "--imsi", "001010000000001"],
            "whitelisted",
            "is excepted",
        ),
        (&["00101234000005"], "unknown", "no rule"),
        (
            &["00101234000005", "--at", "2020-12-31T23:59:59Z"],
            "blacklisted",
            "found again",
        ),
        (
            &["00101234000005", "--at", "2021-01-01T00:00:00Z"],
            "unknown",
            "no rule",
        ),
        (
            &["00101234000005", "--at", "2019-12-31T23:59:59Z"],
            "unknown",
            "no rule",
        ),
        (&["00105000000500"], "blacklisted", "a stolen shipment"),
        (&["00106000123456"], "greylisted", "a model under test"),
        (
            &["00107123123456"],
            "blacklisted",
            "models without approval",
        ),
        (&["35349006987331"], "unknown", "no rule"),
        (
            &["490154203237518", "--imsi", "001010000000100"],
            "blacklisted",
            "bound to other devices",
        ),
        (&["12"], "malformed", "the IMEI is malformed"),
        (&[""], "malformed", "the IMEI is malformed"),
    ] {
        let args = [&["explain"], args].concat();
        let run = weir(&args).ends(0);
        let verdict = run.out.lines().last().unwrap();
        assert!(
            verdict.starts_with(&format!("Verdict: {outcome}, as ")),
            "{args:?}: {verdict}"
        );
        assert!(run.out.contains(why), "{args:?}: {}", run.out);
        assert!(verdict.ends_with("by policy default"), "{verdict}");
        assert_eq!(run.err, "");

        let json = weir([&args[..], &["--json"]].concat()).ends(0).json();
        assert_eq!(json["outcome"], outcome, "{args:?}");
        assert_eq!(json["policy"], "default");
        assert_eq!(json["steps"].as_array().unwrap().len(), 12);
        let decided = ["unknown", "malformed"].contains(&outcome);
        assert_eq!(json["decided_by"].is_null(), decided, "{args:?}");
    }
}

#[test]
fn the_client_and_the_subscriber_choose_the_policy() {
    let dir = directory(&[
        (
            "weir.toml",
            "[register]\nunlisted = \"greylisted\"\n\
             [[list]]\nname = \"a\"\nstatus = \"black\"\npath = \"a.csv\"\n\
             [[policy]]\nname = \"partner\"\nmatch = { origin_host = [\"mme.partner\"] }\n\
             lists = []\nunlisted = \"whitelisted\"\n\
             [[policy]]\nname = \"realm\"\nmatch = { origin_realm = [\"roaming\"] }\nmalformed = \"black\"\n\
             [[policy]]\nname = \"iot\"\nmatch = { imsi_prefix = [\"00102\"] }\nunlisted = \"blacklisted\"\n",
        ),
        ("lists/a.csv", "imei\n00101234000001\n"),
    ]);
    let config = dir.path().join("weir.toml");
    let config = config.to_str().unwrap();
    for (args, outcome, policy) in [
        (&["00101234000001"][..], "blacklisted", "default"),
        (&["00101234000002"], "greylisted", "default"),
        (
            &["00101234000001", "--origin-host", "MME.partner"],
            "whitelisted",
            "partner",
        ),
        (
            &["00101234000001", "--origin-realm", "roaming"],
            "blacklisted",
            "realm",
        ),
        (&["1", "--origin-realm", "roaming"], "blacklisted", "realm"),
        (&["1"], "malformed", "default"),
        (
            &["00101234000002", "--imsi", "001020000000001"],
            "blacklisted",
            "iot",
        ),
    ] {
        let run = weir([&["explain", "-c", config], args].concat()).ends(0);
        // Behind it: what other policies would answer.
        let verdict = (run.out.lines()).find(|line| line.starts_with("Verdict: "));
        let verdict = verdict.unwrap();
        assert!(
            verdict.starts_with(&format!("Verdict: {outcome}")),
            "{args:?}: {verdict}"
        );
        assert!(
            verdict.ends_with(&format!("by policy {policy}")),
            "{args:?}: {verdict}"
        );
    }
}

#[test]
fn lists_that_cannot_be_used_are_no_explanation() {
    let run = weir(["explain", WHITE, "-c", "/nowhere.toml"]).ends(1);
    assert!(run.err.contains("/nowhere.toml: no such file"), "{run:?}");
}
