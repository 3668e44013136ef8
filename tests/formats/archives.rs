//! ZIP archives.

use super::*;

#[test]
fn archives_that_cannot_be_meant_are_refused() {
    let bomb = zipped(&[("a.csv", &vec![b'0'; 4 << 20])]);
    let whole = zipped(&[("a.csv", b"imei\n490154203237518\n")]);
    for (name, bytes, fragment) in [
        ("a.zip", &bomb[..], "more than 200 times its size"),
        (
            "a.zip",
            &whole[..whole.len() / 2],
            "is no ZIP archive that can be read",
        ),
        ("a.zip", b"", "is empty"),
        ("a.csv", &whole, "name it .zip"),
        ("a.zip", &zipped(&[("a.exe", b"x")]), "has no list in it"),
    ] {
        let list = refused(load_list("csv", &[(name, bytes)]));
        assert!(list.faults[0].contains(fragment), "{list:?}");
    }
    let loaded = load_list("csv", &[("a.zip", &whole)]).unwrap();
    expect(&loaded, &[("490154203237518", "", BLACK)]);
}
