//! `bench`: its table, its files, and peers that are made of a few lines of shell, so that what
//! they say is known.

use crate::files::Place;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The work of most tests: four figures of ours.
const SMALL: &str = "bench --device cpu --n 2 5 --dtype float32 --batch 3 --reps 1 --rounds 1 --force";

/// A stand-in for Python with a package: it greets, and runs `answer` for each request, in which
/// `$dtype $n $batch` are known, `$runs` is how often it was started, and `figure PASS NS
/// [FASTEST]`
/// prints a line.
fn stub(place: &Place, greeting: &str, answer: &str) {
    let script = format!(
        r#"#!/bin/sh
peer=$5
echo x >> runs-$peer
runs=$(wc -l < runs-$peer)
figure() {{
    echo "{{\"peer\": \"$peer\", \"version\": \"9\", \"device\": \"x\", \"dtype\": \"$dtype\", \"n\": $n, \"batch\": $batch," \
        "\"what\": \"$1\", \"median_ns\": $2, \"min_ns\": ${{3:-$2}}}}"
}}
{greeting}
while read -r dtype n batch; do
{answer}
done
"#
    );
    place.put("python", script);
    fs::set_permissions(place.path("python"), fs::Permissions::from_mode(0o755)).unwrap();
}

const HELLO: &str = r#"echo "{\"peer\": \"$peer\", \"version\": \"9\"}""#;
const BOTH: &str = "figure forward 1000000; figure backward 2000000; echo '{}'";

/// The objects of a file, one a line, behind the first, which tells of the machine.
fn lines(place: &Place, name: &str) -> Vec<Value> {
    let text = String::from_utf8(place.bytes(name)).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let machine = lines.remove(0)["machine"].take();
    assert!(machine["threads"].as_u64().unwrap() > 0 && machine["arguments"][0] == "bench", "{machine}");
    assert!(machine["date"].as_str().unwrap().starts_with("20"), "{machine}");
    lines
}

/// (peer, n, what) of each line.
fn keys(lines: &[Value]) -> Vec<(&str, u64, &str)> {
    lines
        .iter()
        .map(|line| (line["peer"].as_str().unwrap(), line["n"].as_u64().unwrap(), line["what"].as_str().unwrap()))
        .collect()
}

#[test]
fn bench_prints_a_table_and_writes_lines_with_the_keys_of_its_peers() {
    let place = Place::new();
    let work = "bench --device cpu --n 2 5 --dtype complex64 float16 --batch 3 --reps 2 --rounds 2 --json b.json";
    let said = place.run(work).ok();
    assert_eq!(said.lines().count(), 2 + 8, "{said}");
    assert!(said.starts_with("cpu, ") && said.lines().next().unwrap().ends_with(" GB/s"), "{said}");
    let lines = lines(&place, "b.json");
    assert_eq!(lines.len(), 8);
    for (line, row) in lines.iter().zip(said.lines().skip(2)) {
        let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let peers = ["batch", "device", "dtype", "median_ns", "min_ns", "n", "peer", "version", "what"];
        assert!(peers.iter().all(|key| keys.contains(key)), "{line}");
        assert_eq!((&line["peer"], &line["device"], &line["batch"]), (&"eigengrad".into(), &"cpu".into(), &3.into()));
        assert_eq!(line["rounds"], 2);
        // The row says the same, and what of a copy that is.
        let row: Vec<_> = row.split_whitespace().collect();
        let (n, dtype, what) = (line["n"].as_f64().unwrap(), line["dtype"].as_str().unwrap(), line["what"].as_str().unwrap());
        assert_eq!((row[0], row[1], row[3]), (dtype, &*n.to_string(), what));
        let (element, real) = if dtype == "complex64" { (8.0, 4.0) } else { (2.0, 2.0) };
        let bytes = if what == "forward" { 2.0 * n * n * element + n * real } else { 3.0 * n * n * element + 2.0 * n * real };
        let (ns, speed) = (line["median_ns"].as_f64().unwrap(), line["bytes_per_second"].as_f64().unwrap());
        let near = |x: f64, y: f64, to: f64| assert!((x - y).abs() <= to, "{x}, not {y}: {line} {row:?}");
        near(speed, bytes * 1e9 / ns, 1e-6 * speed);
        near(row[4].parse().unwrap(), ns, 0.06);
        near(row[5].parse().unwrap(), 1e9 / ns, 1e-4 * 1e9 / ns);
        near(row[6].parse().unwrap(), speed / 1e9, 6e-4);
        near(row[7].parse().unwrap(), 100.0 * speed / line["copy_bytes_per_second"].as_f64().unwrap(), 0.06);
        near(row[9].parse().unwrap(), ns / line["min_ns"].as_f64().unwrap(), 6e-3);
        assert!(line["min_ns"].as_f64().unwrap() <= ns);
    }
    assert!(place.run(work).refused().contains("b.json: exists; --force replaces it"));
}

#[test]
fn bench_refuses_what_is_no_work() {
    let place = Place::new();
    for wrong in ["--dtype int8", "--n 0", "--n", "--n x", "--reps 0", "--rounds 0", "--batch 0", "--against numpy"] {
        place.run(&format!("bench {wrong}")).misused();
    }
    let said = place.run("bench --n 16384 --batch 1099511627776 --dtype complex128").misused();
    assert!(said.contains("too large to address"), "{said}");
    assert_eq!(place.names("."), [""; 0]);
}

#[test]
fn bench_overwrites_nothing_unasked() {
    for file in ["json", "svg", "markdown"] {
        let place = Place::new();
        place.put("mine", "mine");
        let work = format!("bench --device cpu --n 2 --dtype float32 --batch 3 --reps 1 --rounds 1 --{file}");
        assert_eq!(place.run(&format!("{work} mine")).refused(), "eigengrad: mine: exists; --force replaces it\n");
        assert!(place.run(&format!("{work} nowhere/file")).refused().contains("there is no directory nowhere"));
        assert_eq!(place.bytes("mine"), b"mine");
        place.run(&format!("{work} mine --force")).ok();
        assert_ne!(place.bytes("mine"), b"mine");
    }
}

/// The names of elements in the order in which they open; panics unless each is closed in turn.
fn elements(svg: &str) -> Vec<&str> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag that ends");
        assert!(
            !text.contains('>') && text.split('&').skip(1).all(|entity| entity.split(' ').next().unwrap().contains(';')),
            "{text}"
        );
        let name = tag.split([' ', '\n', '/']).next().unwrap();
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        all.push(name);
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} not closed");
    all
}

#[test]
fn the_picture_names_all_that_was_found() {
    let place = Place::new();
    stub(&place, HELLO, BOTH);
    let work = "bench --device cpu --n 2 8 --dtype complex64 float64 bfloat16 --batch 3 --reps 1 --rounds 1 --svg b.svg";
    place.run(&format!("{work} --python ./python --against torch --title <a&b>")).ok();
    let svg = String::from_utf8(place.bytes("b.svg")).unwrap();
    let elements = elements(&svg);
    let ours = format!("eigengrad {}, cpu", env!("CARGO_PKG_VERSION"));
    for text in ["&lt;a&amp;b&gt;", "forward", "backward", &ours, "torch 9, cpu", "complex64", "float64", "bfloat16", "1 ms"] {
        assert!(svg.lines().any(|line| line.trim() == text), "{text} is not in {svg}");
    }
    let count = |name| elements.iter().filter(|&&element| element == name).count();
    assert!(count("circle") == 2 * 2 * 2 + 1, "a disc for each pass, order and program in complex64, and one in the legend");
    assert!(count("polygon") > 2 * 2 * 2, "a triangle for each in float64");
    place.run(&work.replace("2 8", "3").replace("b.svg", "c.svg")).ok();
}

#[test]
fn peers_are_timed_in_turn_and_compared() {
    let place = Place::new();
    // 1.01, 1.04 and 1.09 ms: the median over rounds is neither their mean nor the first.
    stub(
        &place,
        HELLO,
        "turn=$((turn + 1)); figure forward $((1000000 + turn * turn * 10000)); [ $peer = jax ] || figure backward 7000000; echo '{}'",
    );
    let work = "bench --device cpu --n 4 --dtype complex64 --batch 3 --reps 1 --rounds 3 --python ./python";
    let said = place.run(&format!("{work} --against torch jax torch --json b.json --markdown b.md")).ok();
    let lines = lines(&place, "b.json");
    let both = ["forward", "backward"];
    assert_eq!(keys(&lines)[..2], both.map(|what| ("eigengrad", 4, what)));
    assert_eq!(keys(&lines)[2..], [("torch", 4, "forward"), ("torch", 4, "backward"), ("jax", 4, "forward")]);
    assert_eq!(
        (&lines[2]["median_ns"], &lines[2]["min_ns"], &lines[2]["device"]),
        (&1.04e6.into(), &1.01e6.into(), &"cpu".into())
    );
    let heading = said.lines().nth(1).unwrap();
    assert!(heading.ends_with("  torch/ours    jax/ours"), "{heading}");
    // By the fastest runs, unless ours is unsteady here.
    let ratio = |i: usize, theirs: f64| {
        let [median, least] = ["median_ns", "min_ns"].map(|key| lines[i][key].as_f64().unwrap());
        if median / least > 1.3 { "unsteady".to_owned() } else { format!("{:.1}×", theirs / least) }
    };
    let ratios = [(ratio(0, 1.01e6), ratio(0, 1.01e6)), (ratio(1, 7e6), "–".to_owned())];
    let any = ratios.iter().any(|(torch, _)| torch == "unsteady");
    assert_eq!(said.lines().last().unwrap().starts_with("unsteady: the median run took more than 1.3 times"), any, "{said}");
    for (row, (torch, jax)) in said.lines().skip(2).zip(&ratios) {
        let row: Vec<_> = row.split_whitespace().rev().take(2).collect();
        assert_eq!(row, [jax, torch]);
    }
    let tables = String::from_utf8(place.bytes("b.md")).unwrap();
    assert!(
        tables.contains("forward, cpu, µs per matrix (times the speed of torch, jax)\n\n| n | complex64 |\n|---|---|\n| 4 | "),
        "{tables}"
    );
    assert!(tables.contains(&format!("({}, –) |", ratios[1].0)), "{tables}");
    assert_eq!(place.bytes("runs-torch").len(), 2, "one process serves all rounds");
}

/// A ratio of noise is no figure.
#[test]
fn unsteady_figures_are_not_compared() {
    let place = Place::new();
    stub(&place, HELLO, "figure forward 1000000 500000; figure backward 2000000 1000000; echo '{}'");
    let said = place.run(&format!("{SMALL} --python ./python --against torch")).ok();
    assert_eq!(said.matches("unsteady").count(), 4 + 1, "{said}");
    assert!(said.lines().last().unwrap().ends_with("; close other programs, or run this under nice -n -10"), "{said}");
}

#[test]
fn peers_that_are_not_there() {
    let place = Place::new();
    let said = place.run(&format!("{SMALL} --python nowhere --against torch")).refused();
    assert_eq!(said, "eigengrad: torch on cpu: nowhere: No such file or directory (os error 2)\n");
    let missing = r#"if [ $peer = torch ]; then echo '{"peer": "torch", "missing": "No module"}'; exit; fi"#;
    stub(&place, &format!("{missing}\n{HELLO}"), BOTH);
    let said = place.run(&format!("{SMALL} --python ./python --against torch --json b.json")).refused();
    let missing = "eigengrad: torch on cpu: No module; ./python was asked, and --python or EIGENGRAD_PYTHON names another\n";
    assert_eq!(said, missing);
    assert_eq!(place.names("."), ["python", "runs-torch"], "nothing is measured for nobody");
    let said = place.run(&format!("{SMALL} --python ./python --against jax torch --json b.json")).warned();
    assert_eq!(said, missing);
    assert_eq!(lines(&place, "b.json").len(), 8);
    stub(&place, "printf 'Boo!\\nNo luck.\\n\\n' >&2; exit 3", "");
    let said = place.run_with(&[("EIGENGRAD_PYTHON", "./python")], &format!("{SMALL} --against torch jax")).refused();
    let reason = "it ended, exit status: 3: No luck.";
    assert_eq!(said, format!("eigengrad: torch on cpu: {reason}; jax on cpu: {reason}\n"));
    for greeting in ["echo hello", "echo '{\"peer\": \"cupy\", \"version\": \"1\"}'", "echo '{\"peer\": \"torch\"}'", "echo"] {
        stub(&place, greeting, BOTH);
        let said = place.run(&format!("{SMALL} --python ./python --against torch")).refused();
        assert!(said.starts_with("eigengrad: torch on cpu: expected its name and version, got \""), "{said}");
    }
}

#[test]
fn a_peer_that_dies_of_a_case_goes_on_with_the_next() {
    let place = Place::new();
    stub(&place, HELLO, &format!("[ $n = 5 ] && {{ echo 'out of memory' >&2; exit 9; }}\n{BOTH}"));
    let work = SMALL.replace("2 5", "2 5 6").replace("rounds 1", "rounds 2");
    let said = place.run(&format!("{work} --python ./python --against torch --json b.json")).warned();
    assert_eq!(said, "eigengrad: torch on cpu: float32, n = 5: it ended, exit status: 9: out of memory\n", "it is tried once");
    let lines = lines(&place, "b.json");
    let theirs = keys(&lines).into_iter().filter(|key| key.0 == "torch").map(|key| key.1).collect::<Vec<_>>();
    assert_eq!((theirs, lines.len()), (vec![2, 2, 6, 6], 10));
    // One that never gave a figure is not asked again, and its absence is a failure, though ours
    // are there.
    stub(&place, HELLO, "kill -9 $$");
    let out = place.run(&format!("{SMALL} --python ./python --against torch --json b.json"));
    assert_eq!(
        out.misused(),
        "eigengrad: torch on cpu: float32, n = 2: it ended, signal: 9 (SIGKILL)\neigengrad: no peer gave a figure\n"
    );
    assert_eq!(self::lines(&place, "b.json").len(), 4);
}

#[test]
fn a_peer_that_prints_something_else() {
    let place = Place::new();
    for garbage in [
        "echo 'Hi!'",
        "echo '{}'",
        "figure forward 1000; figure forward 1000",
        "figure forward 0",
        "figure forward -5",
        "figure forward 0.1 0.5", // below the fastest run
        "figure forward NaN",
        "figure sideways 1000",
        "n=7; figure forward 1000",
        "batch=9; figure forward 1000",
        "dtype=float64; figure forward 1000",
        "head -c 100000 /dev/zero; exit",
        "printf '\\377\\n'",
    ] {
        stub(&place, HELLO, &format!("{garbage}; echo '{{}}'"));
        let said = place.run(&format!("{SMALL} --python ./python --against torch")).misused();
        let reasons: Vec<_> = said.lines().collect();
        assert_eq!(reasons.len(), 2, "{garbage}: {said}");
        assert!(
            reasons[0].starts_with("eigengrad: torch on cpu: float32, n = 2: expected a figure, got \""),
            "{garbage}: {said}"
        );
        assert!(reasons[0].len() < 800, "{said}");
    }
}

/// The script itself, in whatever Python there is: packages that are missing are said to be,
/// whether or not any is here.
#[test]
fn the_script_says_what_is_missing() {
    let place = Place::new();
    let python = std::process::Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|out| out.status.success()) {
        let said = place.run(&format!("{SMALL} --against cupy")).refused();
        assert!(said.starts_with("eigengrad: cupy on cpu: python3: "), "{said}");
        return;
    }
    let said = place.run(&format!("{SMALL} --against cupy")).refused();
    assert_eq!(said, "eigengrad: cupy on cpu: it computes on GPUs only\n");
}
