//! `--json`: the same findings as the table, for scripts.

use crate::files::{Numbers, Place, Run, c16, f8};
use serde_json::{Value, json};

/// The one line of a run.
fn object(run: &Run) -> Value {
    let said = run.table();
    assert_eq!(said.lines().count(), 1, "{said}");
    serde_json::from_str(&said).unwrap()
}

/// Every command on matrices has its rows as members, under keys without spaces.
#[test]
fn every_row_of_a_table_is_a_member() {
    let place = Place::new();
    place.put("a.npy", c16(&Numbers(1).hermitian(3, 5, 2)));
    place.put("l.npy", f8(&[3, 5], &[1.0; 15]));
    for command in [
        "eigh a.npy --out eigh",
        "backward a.npy --values-bar l.npy --out bar.npy",
        "jvp a.npy --tangent a.npy --out jvp",
        "double-backward a.npy --values-bar l.npy --cotangent a.npy --out double",
        "spectral a.npy --function sqrt --bar a.npy --out spectral",
        "projector a.npy --out projector",
        "fit a.npy --out fit",
    ] {
        let rows = place.run(command).ok().lines().count();
        let found = object(&place.run(&format!("{command} --json --force")));
        let members = found.as_object().unwrap();
        assert_eq!(members.len(), rows + 1, "{found}"); // warnings, too
        assert!(members.keys().all(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_')), "{found}");
        assert_eq!((&found["dtype"], &found["shape"], &found["warnings"]), (&json!("complex128"), &json!([3, 5, 5]), &json!([])));
        assert_eq!(found["rank"], json!({ "2": 3 }), "{found}");
    }
}

#[test]
fn numbers_are_numbers() {
    let place = Place::new();
    place.put("a.npy", f8(&[2, 2, 2], &[2.0, 0.0, 0.0, 1.0, 5.0, 0.0, 0.0, 1e-3]));
    let found = object(&place.run("eigh a.npy --rtol 0.01 --out out --json"));
    assert_eq!(found["rank"], json!({ "1": 1, "2": 1 }));
    let worst = &found["smallest_kept_over_cutoff"];
    assert!((worst["value"].as_f64().unwrap() - 50.0).abs() < 1e-9 && worst["matrix"] == 0, "{found}");
    assert!(found["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(found["written"], json!(["out/values.npy", "out/vectors.npy", "out/kept.npy"]));
    let found = object(&place.run("fit a.npy --rtol 0.01 --noise 1e-3 --out fit --json"));
    assert_eq!((&found["converged"], &found["training"]["steps"]), (&json!({ "matrices": 2, "of": 2 }), &json!(1000)), "{found}");
    assert!(found["loss"].as_f64().unwrap() < 1e-10, "{found}");
}

/// What is warned of is in the object, too; what is not finite is null.
#[test]
fn warnings_are_members_and_failures_write_nothing() {
    let place = Place::new();
    place.put("a.npy", f8(&[2, 1, 1], &[f64::NAN, 1.0]));
    let run = place.run("eigh a.npy --out out --json");
    assert!(run.warned().contains("matrix 0: not finite"));
    let found = object(&run);
    assert!(found["warnings"][0].as_str().unwrap().starts_with("matrix 0: not finite"), "{found}");
    assert_eq!(found["smallest_gap_kept"], Value::Null);
    place.run("eigh none.npy --out out --json").refused();
}
