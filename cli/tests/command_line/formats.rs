//! The forms of .npy that are read: every type in either byte order and storage order, bit for bit
//! alike.

use crate::files::{CODES, Numbers, Place, header, npy, raw};
use ndarray::{ArrayD, Axis};
use num_complex::Complex;

#[test]
fn byte_order_and_storage_order_make_no_difference() {
    let place = Place::new();
    let batch = Numbers(1).hermitian(3, 4, 4).into_dyn();
    for (dimensions, a) in [("3-D", batch.clone()), ("2-D", batch.index_axis(Axis(0), 1).to_owned())] {
        for code in CODES {
            let reference = format!("{dimensions}{code}");
            for (order, fortran) in [('<', false), ('<', true), ('>', false), ('>', true)] {
                place.put("a.npy", npy(&format!("{order}{code}"), fortran, &a));
                let out = if (order, fortran) == ('<', false) { &reference } else { "out" };
                let bar = format!("--vectors-bar {reference}/vectors.npy --values-bar {reference}/values.npy");
                place.run(&format!("eigh a.npy --out {out} --force")).ok();
                place.run(&format!("backward a.npy {bar} --out {out}/a_bar.npy --force")).ok();
                for name in ["values.npy", "vectors.npy", "kept.npy", "a_bar.npy"] {
                    let (got, expected) = (place.bytes(&format!("{out}/{name}")), place.bytes(&format!("{reference}/{name}")));
                    assert_eq!(got, expected, "{name} of {dimensions} {order}{code}, Fortran order: {fortran}");
                }
            }
        }
    }
}

#[test]
fn results_are_of_the_type_of_the_input() {
    let place = Place::new();
    let a = Numbers(2).hermitian(2, 3, 3).into_dyn();
    for (code, real) in CODES.into_iter().zip(["f2", "f4", "f8", "f4", "f8"]) {
        place.put("a.npy", npy(&format!("<{code}"), false, &a));
        place.run("eigh a.npy --out out --force").ok();
        for (name, code) in [("values", real), ("vectors", code)] {
            let bytes = place.bytes(&format!("out/{name}.npy"));
            assert!(String::from_utf8_lossy(&bytes[..64]).contains(&format!("'<{code}'")));
            assert_eq!(bytes.len() % 64, (if name == "values" { 6 } else { 18 }) * code[1..].parse::<usize>().unwrap() % 64);
        }
    }
}

#[test]
fn cotangents_may_be_in_another_order_than_the_matrices() {
    let place = Place::new();
    let a = Numbers(3).hermitian(2, 3, 3).into_dyn();
    place.put("a.npy", npy("<c16", false, &a));
    place.run("eigh a.npy --out out").ok();
    let v = place.array::<Complex<f64>>("out/vectors.npy");
    for (name, descr, fortran) in [("c", "<c16", false), ("f", ">c16", true)] {
        place.put("v.npy", npy(descr, fortran, &v));
        place.run(&format!("backward a.npy --vectors-bar v.npy --out {name}.npy")).ok();
    }
    assert_eq!(place.bytes("c.npy"), place.bytes("f.npy"));
}

#[test]
fn headers_of_every_version_and_spelling_are_read() {
    let place = Place::new();
    let one = 1f64.to_le_bytes();
    let mut second = raw("", &[]);
    let text = header("<f8", false, &[1, 1]);
    second[6] = 2;
    second.truncate(8);
    second.extend((text.len() as u32).to_le_bytes());
    second.extend(text.bytes());
    second.extend(one);
    let mut third = second.clone();
    third[6] = 3;
    let spelled = r#" { "shape" : ( 1 ,1) ,"fortran_order":True, "descr" :"<f8" }  "#;
    for file in [second, third, raw(spelled, &one), raw(&header("<f8", true, &[1, 1]), &one)] {
        place.put("a.npy", file);
        place.run("eigh a.npy --out out --force").ok();
        assert_eq!(place.array::<f64>("out/values.npy"), ArrayD::<f64>::ones(vec![1]));
    }
}
