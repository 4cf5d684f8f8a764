use super::*;

fn column(from: &str, name: &str) -> Item {
    Item::Column { from: from.to_owned(), name: name.to_owned() }
}

fn computed(name: Option<&str>, dtype: Option<DType>, reads: &[&str]) -> Item {
    let reads = reads.iter().map(|s| (*s).to_owned()).collect();
    Item::Computed { name: name.map(str::to_owned), dtype, reads }
}

/// The only selection of a statement.
fn one(statement: &str) -> Select {
    let mut all = parse(statement).unwrap_or_else(|| panic!("{statement}"));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn plain_lists_are_understood() {
    let s = one("SELECT *, (v1 + v2) AS v3, `a b`, x.y z FROM __THIS__");
    assert_eq!(
        s.items,
        [
            Item::All,
            computed(Some("v3"), None, &["v1", "v2"]),
            column("a b", "a b"),
            computed(Some("z"), None, &["x"])
        ]
    );
    let s = one(
        "select __THIS__.a b, cast(n as double) d, upper(c), 'x, from' s, 3 AS i, -1L l from __THIS__ where q > 1 and w is not null",
    );
    assert_eq!(
        s.items,
        [
            column("a", "b"),
            computed(Some("d"), Some(DType::Float64), &["n"]),
            computed(None, Some(DType::String), &["c"]),
            computed(Some("s"), Some(DType::String), &[]),
            computed(Some("i"), Some(DType::Int32), &[]),
            computed(Some("l"), Some(DType::Int64), &[]),
        ]
    );
    assert_eq!(s.conditions, ["q", "w"]);
    let s = one("SELECT CASE WHEN a > 0 THEN b ELSE c END AS k FROM __THIS__;");
    assert_eq!(s.items, [computed(Some("k"), None, &["a", "b", "c"])]);
}

#[test]
fn words_of_sql_may_be_names() {
    let s = one("SELECT -1 AS minus, a AS values, b window, date FROM __THIS__");
    let names: Vec<_> = s.items.iter().filter_map(Item::name).collect();
    assert_eq!(names, ["minus", "values", "window", "date"]);
    // A cast keeps the name of its column.
    assert_eq!(
        one("SELECT cast(n AS int) FROM __THIS__").items,
        [computed(Some("n"), Some(DType::Int32), &["n"])]
    );
}

#[test]
fn comments_and_the_tables_name_mean_nothing() {
    let s = one("SELECT t.a, -- first\n t.b /* second */ AS c FROM __THIS__ AS t WHERE t.d = 1");
    assert_eq!(s.items, [column("a", "a"), column("b", "c")]);
    assert_eq!(s.conditions, ["d"]);
}

#[test]
fn groups_and_orders_read_columns_that_are_not_of_the_result() {
    let s = one(
        "SELECT a, count(*) AS n, sum(b) s FROM __THIS__ GROUP BY a, c HAVING n > 1 ORDER BY s DESC, e LIMIT 3",
    );
    assert_eq!(
        s.items,
        [column("a", "a"), computed(Some("n"), Some(DType::Int64), &[]), computed(Some("s"), None, &["b"])]
    );
    assert_eq!(s.conditions, ["c", "e"]);
    let s = one("SELECT DISTINCT a, count(DISTINCT b) n FROM __THIS__");
    assert_eq!(s.items, [column("a", "a"), computed(Some("n"), Some(DType::Int64), &["b"])]);
    let s = one(
        "SELECT *, rank() OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS r FROM __THIS__",
    );
    assert_eq!(s.items, [Item::All, computed(Some("r"), None, &["a", "b"])]);
    let s = one("SELECT a IS DISTINCT FROM b AS d FROM __THIS__");
    assert_eq!(s.items, [computed(Some("d"), Some(DType::Bool), &["a", "b"])]);
}

#[test]
fn a_selection_of_a_selection_comes_after_it() {
    let all =
        parse("SELECT *, b + 1 AS c FROM (SELECT a AS b FROM __THIS__ WHERE d > 0) t WHERE t.b > 1").unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0].items[..], &all[0].conditions[..]), (&[column("a", "b")][..], &["d".to_owned()][..]));
    assert_eq!(all[1].items, [Item::All, computed(Some("c"), None, &["b"])]);
    let deep = format!("{}SELECT a FROM __THIS__{}", "SELECT * FROM (".repeat(100), ")".repeat(100));
    assert_eq!(parse(&deep), None);
}

#[test]
fn types_are_told_where_they_are_certain() {
    let of = |e: &str| match one(&format!("SELECT {e} AS x FROM __THIS__")).items.remove(0) {
        Item::Computed { dtype, .. } => dtype,
        other => panic!("{other:?}"),
    };
    for (e, dtype) in [
        ("a > 1 AND b", Some(DType::Bool)),
        ("NOT a", Some(DType::Bool)),
        ("a IN (1, 2)", Some(DType::Bool)),
        ("a + b", None),
        ("if(a > 1, b, c)", None),
        ("CASE WHEN a = 1 THEN 2 ELSE 3 END", None),
        ("length(a)", Some(DType::Int32)),
        ("length(a) + length(b)", None),
        ("(sqrt(a))", Some(DType::Float64)),
        ("concat(a, b)", None),
        ("sum(a > 1) OVER (PARTITION BY b)", None),
    ] {
        assert_eq!(of(e), dtype, "{e}");
    }
}

#[test]
fn what_is_more_is_not_guessed() {
    for s in [
        "",
        "SELECT",
        "SELECT FROM __THIS__",
        "SELECT a, FROM __THIS__",
        "SELECT a FROM other",
        "SELECT *, count(*) FROM __THIS__ GROUP BY a",
        "SELECT a FROM __THIS__ GROUP BY a WITH ROLLUP",
        "SELECT a FROM __THIS__ JOIN b ON 1 = 1",
        "SELECT (SELECT 1) FROM __THIS__",
        "SELECT a FROM __THIS__ UNION SELECT a FROM __THIS__",
        "SELECT /*+ REPARTITION(3) */ a FROM __THIS__",
        "SELECT transform(a, x -> x + 1) t FROM __THIS__",
        "SELECT explode(a) t FROM __THIS__",
        "SELECT extract(year FROM a) t FROM __THIS__",
        "SELECT timestampdiff(DAY, a, b) t FROM __THIS__",
        "SELECT a + INTERVAL 1 DAY t FROM __THIS__",
        "SELECT f(k => a) t FROM __THIS__",
        "SELECT other.* FROM __THIS__",
        "SELECT sum(a) OVER w FROM __THIS__",
        "SELECT `a FROM __THIS__",
        "SELECT a) FROM __THIS__",
        "SELECT filter(a, x -> x) t FROM __THIS__",
    ] {
        assert_eq!(parse(s), None, "{s}");
    }
}
