use super::*;

/// A document as text, through every function of a [`Pull`].
fn show(p: &mut dyn Pull, out: &mut String, depth: usize) -> Result<()> {
    if depth > 600 {
        return Ok(());
    }
    match p.value()? {
        Value::Object => {
            out.push('{');
            while let Some(key) = p.key()? {
                out.push_str(&key);
                out.push('=');
                if key == "skipped" {
                    p.skip()?;
                } else {
                    show(p, out, depth + 1)?;
                }
                out.push(' ');
            }
            out.push('}');
        }
        Value::List => {
            out.push('[');
            while p.more()? {
                show(p, out, depth + 1)?;
                out.push(' ');
            }
            out.push(']');
        }
        Value::Text(t) => out.push_str(&t),
        Value::Long => out.push_str("(long)"),
        Value::Number(n) => out.push_str(&n.to_string()),
        Value::Bool(b) => out.push_str(&b.to_string()),
        Value::Null => out.push_str("null"),
    }
    Ok(())
}

fn json(text: &[u8]) -> Result<String> {
    let mut out = String::new();
    show(&mut Json::new(Stream::new(&text, 0, 1 << 30)), &mut out, 0)?;
    Ok(out)
}

fn ubj(bytes: &[u8]) -> Result<String> {
    let mut out = String::new();
    show(&mut Ubj::new(Stream::new(&bytes, 0, 1 << 30)), &mut out, 0)?;
    Ok(out)
}

const TEXT: &str = r#" {"a": [1, -2.5e3, true, null, NaN], "skipped": {"x": ["}", "\\\"]", [[]], {}]},
 "b": "q\"\u00e4\ud83d\ude00\n", "c": {}, "d": []} "#;

#[test]
fn json_is_read_and_skipped() {
    assert_eq!(json(TEXT.as_bytes()).unwrap(), "{a=[1 -2500 true null NaN ] skipped= b=q\"ä😀\n c={} d=[] }");
}

#[test]
fn broken_json_is_an_error() {
    for bad in [
        "",
        "{",
        "{\"a\"",
        "{\"a\":}",
        "{\"a\":1,}x",
        "[1 2]",
        "[1,",
        "\"a",
        "{\"skipped\":[}",
        "tru",
        "{1:2}",
        "{\"skipped\": {\"a\"",
        "[\"\\x\"]",
        "\"\\ud800x\"",
    ] {
        assert!(json(bad.as_bytes()).is_err(), "{bad}");
    }
    let deep = "[".repeat(100_000);
    assert!(json(deep.as_bytes()).is_err());
    assert!(json(format!("{{\"skipped\":{deep}").as_bytes()).is_err());
}

fn example() -> Vec<u8> {
    let mut b = b"{L\0\0\0\0\0\0\0\x01a[#i\x03U\x07I\x01\0T".to_vec();
    b.extend(b"i\x01b[$d#L\0\0\0\0\0\0\0\x02");
    b.extend(1.5f32.to_be_bytes());
    b.extend((-2f32).to_be_bytes());
    b.extend(b"i\x07skipped{i\x01x[$l#i\x02\0\0\0\x01\0\0\0\x02i\x01y[Z]i\x01z[#i\x01Si\x02hi}");
    b.extend(b"U\x01cSi\x02hii\x01dZ}");
    b
}

#[test]
fn ubjson_is_read_and_skipped() {
    assert_eq!(ubj(&example()).unwrap(), "{a=[7 256 true ] b=[1.5 -2 ] skipped= c=hi d=null }");
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    for end in 0..TEXT.trim().len() {
        assert!(json(&TEXT.trim_start().as_bytes()[..end]).is_err(), "{end}");
    }
    let good = example();
    for end in 0..good.len() {
        assert!(ubj(&good[..end]).is_err(), "{end}");
    }
    for at in 0..good.len() {
        for flip in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            drop(ubj(&bad));
        }
    }
    assert!(ubj(b"[$Z#L\x7f\xff\xff\xff\xff\xff\xff\xff").is_err());
    assert!(ubj(b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff").is_err());
    assert!(ubj(&b"[".repeat(100_000)).is_err());
    assert!(ubj(&b"[$[#i\x01".repeat(10_000)).is_err());
}

#[test]
fn the_limit_of_bytes_is_told_from_a_broken_file() {
    let text = format!("[{}1]", "0,".repeat(1 << 20)).into_bytes();
    let mut pull = Json::new(Stream::new(&text, 0, 1 << 20));
    assert!(pull.skip().is_err());
    assert!(pull.stopped());
}

#[test]
fn texts_of_a_list_are_bounded_together() {
    let texts = |count: usize| {
        let text = format!("\"{}\"", "x".repeat(1000));
        let json = format!("[{}]", vec![text; count].join(","));
        let bytes = json.as_bytes();
        let all = Json::new(Stream::new(&bytes, 0, bytes.len() as u64)).texts(100_000).unwrap();
        all.map(|all| all.len())
    };
    assert_eq!((texts(1000), texts(20_000)), (Some(1000), None));
}
