//! Files of TACs.

use super::*;

/// Bars with quotes between them, letters that are no UTF-8, a banner, a TAC
/// twice, and lines with fields too few.
#[test]
fn files_of_tacs_name_models_and_the_first_name_counts() {
    for (name, format, expected) in [
        (
            "gsma.txt",
            "gsma-tac",
            [("Ericsson", "T28"), ("Caf\u{fffd} Phones", "One")],
        ),
        (
            "osmocom.csv",
            "osmocom-tac",
            [("Ericsson", "T28"), ("Other", "One")],
        ),
    ] {
        let dir = directory(&[(name, &sample(name))]);
        let text = format!("[[tac]]\npath = \"{name}\"\nformat = \"{format}\"");
        let loaded = load(&config(dir.path(), &text)).unwrap();
        let models = loaded.rulebook.snapshot().models();
        for (tac, (make, model)) in ["49015420", "35200000"].iter().zip(expected) {
            let found = models
                .find(Tac::from_digits(tac.as_bytes()).unwrap())
                .unwrap();
            assert_eq!((found.make, found.model), (make, model));
        }
        let warning = &loaded.report.lists[0].files[0].warnings[0];
        assert!(
            warning.contains("1 line about a TAC that has a name already"),
            "{warning}"
        );
        expect(&loaded, &[("49015420323751", "", UNKNOWN)]);
    }
    let dir = directory(&[("m.csv", b"tac,make,model\n49015420,A,B\n4901542,A,B\n")]);
    let text = "[[tac]]\npath = \"m.csv\"\nformat = \"csv\"";
    let list = refused(load(&config(dir.path(), text)));
    assert!(
        list.first_bad_lines[0]
            .to_string()
            .contains("m.csv:3:1: tac: `4901542` has 7 digits")
    );
}
