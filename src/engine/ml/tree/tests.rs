//! Forests small enough to walk by hand, and nodes that must not load.

use tract_onnx::pb;
use tract_onnx::tract_hir::internal::*;

use crate::engine::ml::testing::Node;
use crate::engine::ml::testing::close;
use crate::engine::ml::testing::floats;
use crate::engine::ml::testing::integers;
use crate::engine::ml::testing::node;
use crate::engine::ml::testing::words;

/// Two trees over two features:
///
/// - tree 0: `x0 <= 1` leads to leaf 1, else `x1 < 0` to leaf 3, else to leaf 4;
/// - tree 1: `x1 > 2` leads to leaf 1, else to leaf 2.
fn trees(of: Node) -> Node {
    of.ints("nodes_treeids", &[0, 0, 0, 0, 0, 1, 1, 1])
        .ints("nodes_nodeids", &[0, 1, 2, 3, 4, 0, 1, 2])
        .strings(
            "nodes_modes",
            &["BRANCH_LEQ", "LEAF", "BRANCH_LT", "LEAF", "LEAF", "BRANCH_GT", "LEAF", "LEAF"],
        )
        .ints("nodes_featureids", &[0, 0, 1, 0, 0, 1, 0, 0])
        .floats("nodes_values", &[1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0])
        .ints("nodes_truenodeids", &[1, 0, 3, 0, 0, 1, 0, 0])
        .ints("nodes_falsenodeids", &[2, 0, 4, 0, 0, 2, 0, 0])
}

/// The leaves of both trees give 1, 2, 4 and 8, 16.
fn regressor() -> Node {
    trees(node("TreeEnsembleRegressor", 1))
        .int("n_targets", 1)
        .ints("target_treeids", &[0, 0, 0, 1, 1])
        .ints("target_nodeids", &[1, 3, 4, 1, 2])
        .ints("target_ids", &[0; 5])
        .floats("target_weights", &[1.0, 2.0, 4.0, 8.0, 16.0])
}

fn classifier(ids: &[i64; 5], weights: &[f32; 5]) -> Node {
    trees(node("TreeEnsembleClassifier", 2))
        .ints("class_treeids", &[0, 0, 0, 1, 1])
        .ints("class_nodeids", &[1, 3, 4, 1, 2])
        .ints("class_ids", ids)
        .floats("class_weights", weights)
}

/// Rows that end in the leaves (1, 2), (3, 2), (4, 2), (4, 1).
fn rows() -> Tensor {
    tensor2(&[[1f32, 0.0], [2.0, -1.0], [2.0, 0.0], [2.0, 3.0]])
}

#[test]
fn walks_to_the_leaves() {
    let y = regressor().run([rows()]).unwrap();
    assert_eq!(y[0].shape(), [4, 1]);
    close(&y[0], &[17.0, 18.0, 20.0, 12.0]);
    let integers = tensor2(&[[1i64, 0], [2, 3]]);
    close(&regressor().run([integers]).unwrap()[0], &[17.0, 12.0]);
    let doubles = tensor2(&[[1.000_000_01f64, 0.0]]);
    close(&regressor().run([doubles]).unwrap()[0], &[20.0]);
    let many: Vec<[f32; 2]> = (0..200).map(|n| [f32::from(u8::from(n % 3 == 0)) + 1.0, 0.0]).collect();
    let expected: Vec<f32> = (0..200).map(|n| if n % 3 == 0 { 20.0 } else { 17.0 }).collect();
    close(&regressor().run([tensor2(&many)]).unwrap()[0], &expected);
}

#[test]
fn aggregates_the_trees() {
    let run = |aggregate: &str| {
        let node = regressor().string("aggregate_function", aggregate).floats("base_values", &[100.0]);
        floats(&node.run([rows()]).unwrap()[0])
    };
    assert_eq!(run("SUM"), [117.0, 118.0, 120.0, 112.0]);
    assert_eq!(run("AVERAGE"), [108.5, 109.0, 110.0, 106.0]);
    assert_eq!(run("MIN"), [101.0, 102.0, 104.0, 104.0]);
    assert_eq!(run("MAX"), [116.0, 116.0, 116.0, 108.0]);
}

#[test]
fn missing_values_go_where_they_are_told() {
    let nan = tensor2(&[[f32::NAN, f32::NAN]]);
    close(&regressor().run([nan.clone()]).unwrap()[0], &[20.0]);
    let tracked = regressor().ints("nodes_missing_value_tracks_true", &[1, 0, 0, 0, 0, 1, 0, 0]);
    close(&tracked.run([nan]).unwrap()[0], &[9.0]);
    close(&tracked.run([rows()]).unwrap()[0], &[17.0, 18.0, 20.0, 12.0]);
}

#[test]
fn every_comparison() {
    for (mode, expected) in [
        ("BRANCH_LEQ", [1.0, 1.0, 0.0]),
        ("BRANCH_LT", [1.0, 0.0, 0.0]),
        ("BRANCH_GTE", [0.0, 1.0, 1.0]),
        ("BRANCH_GT", [0.0, 0.0, 1.0]),
        ("BRANCH_EQ", [0.0, 1.0, 0.0]),
        ("BRANCH_NEQ", [1.0, 0.0, 1.0]),
    ] {
        for missing in [[0i64; 3], [1, 0, 0]] {
            let node = node("TreeEnsembleRegressor", 1)
                .int("n_targets", 1)
                .ints("nodes_treeids", &[0; 3])
                .ints("nodes_nodeids", &[0, 1, 2])
                .strings("nodes_modes", &[mode, "LEAF", "LEAF"])
                .ints("nodes_featureids", &[0; 3])
                .floats("nodes_values", &[5.0, 0.0, 0.0])
                .ints("nodes_truenodeids", &[1, 0, 0])
                .ints("nodes_falsenodeids", &[2, 0, 0])
                .ints("nodes_missing_value_tracks_true", &missing)
                .ints("target_treeids", &[0])
                .ints("target_nodeids", &[1])
                .ints("target_ids", &[0])
                .floats("target_weights", &[1.0]);
            close(&node.run([tensor2(&[[4f32], [5.0], [6.0]])]).unwrap()[0], &expected);
        }
    }
}

#[test]
fn the_largest_of_three_classes_wins() {
    let node = classifier(&[0, 1, 2, 1, 0], &[0.5, 1.0, 0.25, 2.0, 0.1])
        .strings("classlabels_strings", &["red", "green", "blue"]);
    let y = node.run([rows()]).unwrap();
    assert_eq!(words(&y[0]), ["red", "green", "blue", "green"]);
    close(&y[1], &[0.6, 0.0, 0.0, 0.1, 1.0, 0.0, 0.1, 0.0, 0.25, 0.0, 2.0, 0.25]);
    let based = node.floats("base_values", &[0.0, 0.0, 10.0]);
    assert_eq!(words(&based.run([rows()]).unwrap()[0]), ["blue"; 4]);
}

#[test]
fn one_score_of_two_classes_is_the_second_class() {
    // No weight is negative: probabilities.
    let node = classifier(&[0; 5], &[0.25, 0.5, 0.75, 0.0, 0.0]).ints("classlabels_int64s", &[7, 9]);
    let y = node.run([rows()]).unwrap();
    assert_eq!(integers(&y[0]), [7, 7, 9, 9]);
    close(&y[1], &[0.75, 0.25, 0.5, 0.5, 0.25, 0.75, 0.25, 0.75]);
    // Else margins; one base is the base of the one score.
    let node = classifier(&[0; 5], &[-0.25, 0.5, 0.75, -1.0, 0.0])
        .ints("classlabels_int64s", &[7, 9])
        .floats("base_values", &[0.125]);
    let y = node.run([rows()]).unwrap();
    assert_eq!(integers(&y[0]), [7, 9, 9, 7]);
    close(&y[1], &[0.125, -0.125, -0.625, 0.625, -0.875, 0.875, 0.125, -0.125]);
    // The logistic function of ln 3 is three quarters.
    let node = classifier(&[0; 5], &[3f32.ln(), 0.0, 0.0, -1.0, 0.0])
        .ints("classlabels_int64s", &[7, 9])
        .string("post_transform", "LOGISTIC");
    let y = node.run([tensor2(&[[0f32, 0.0]])]).unwrap();
    close(&y[1], &[0.25, 0.75]);
}

#[test]
fn a_batch_may_be_empty_or_one_vector() {
    let empty = Tensor::zero::<f32>(&[0, 2]).unwrap();
    assert_eq!(regressor().run([empty]).unwrap()[0].shape(), [0, 1]);
    close(&regressor().run_fixed([tensor1(&[2f32, 3.0])]).unwrap()[0], &[12.0]);
}

#[test]
fn lists_must_be_as_long_as_each_other() {
    let cases = [
        (regressor().ints("nodes_nodeids", &[0]), "nodes_nodeids", "expected 8 values", "found 1"),
        (regressor().floats("nodes_values", &[0.0; 9]), "nodes_values", "expected 8 values", "found 9"),
        (regressor().strings("nodes_modes", &["LEAF"]), "nodes_modes", "expected 8 values", "found 1"),
        (regressor().floats("target_weights", &[]), "target_weights", "expected 5 values", "found 0"),
        (regressor().floats("base_values", &[0.0; 2]), "base_values", "expected 1 values", "found 2"),
        (regressor().without("target_ids"), "target_ids", "expected", "found none"),
        (regressor().int("n_targets", 0), "n_targets", "expected 1 to", "found 0"),
        (regressor().int("n_targets", i64::MAX), "n_targets", "expected 1 to", "found 9223372036854775807"),
        (
            regressor().string("post_transform", "\u{1b}"),
            "post_transform",
            "expected NONE",
            r"found `\u{1b}`",
        ),
    ];
    for (node, attribute, expected, found) in cases {
        let said = node.refused([rows()]);
        let at = format!("the node `n` (TreeEnsembleRegressor): the attribute `{attribute}`: {expected}");
        assert!(said.contains(&at) && said.contains(found), "{said}");
    }
}

#[test]
fn trees_are_trees() {
    let ways = |yes: &[i64], no: &[i64]| {
        regressor().ints("nodes_truenodeids", yes).ints("nodes_falsenodeids", no).refused([rows()])
    };
    // To itself, to its parent, to one child twice, to nowhere.
    assert!(ways(&[0, 0, 3, 0, 0, 1, 0, 0], &[2, 0, 4, 0, 0, 2, 0, 0]).contains("reached twice"));
    assert!(ways(&[1, 0, 0, 0, 0, 1, 0, 0], &[2, 0, 4, 0, 0, 2, 0, 0]).contains("reached twice"));
    assert!(ways(&[2, 0, 3, 0, 0, 1, 0, 0], &[2, 0, 4, 0, 0, 2, 0, 0]).contains("reached twice"));
    let said = ways(&[1, 0, 77, 0, 0, 1, 0, 0], &[2, 0, 4, 0, 0, 2, 0, 0]);
    assert!(said.contains("`nodes_truenodeids`: expected a node of tree 0, found 77"), "{said}");
    // A node of the other tree is none of this.
    assert!(ways(&[1, 0, 3, 0, 0, 3, 0, 0], &[2, 0, 4, 0, 0, 2, 0, 0]).contains("a node of tree 1"));
    let twice = regressor().ints("nodes_nodeids", &[0, 1, 2, 2, 4, 0, 1, 2]).refused([rows()]);
    assert!(twice.contains("found 2 of tree 0 twice"), "{twice}");
}

#[test]
fn features_and_targets_must_be_there() {
    let negative = regressor().ints("nodes_featureids", &[-1, 0, 1, 0, 0, 1, 0, 0]).refused([rows()]);
    assert!(negative.contains("tests feature -1"), "{negative}");
    let beyond = regressor().ints("nodes_featureids", &[5, 0, 1, 0, 0, 1, 0, 0]).refused([rows()]);
    assert!(beyond.contains("expected at least 6 features") && beyond.contains("found 2"), "{beyond}");
    let target = regressor().ints("target_ids", &[0, 0, 0, 0, 1]).refused([rows()]);
    assert!(target.contains("votes for 1, expected 0 to 0"), "{target}");
    let vote = regressor().ints("target_nodeids", &[1, 3, 4, 1, 9]).refused([rows()]);
    assert!(vote.contains("expected a node of tree 1, found 9"), "{vote}");
    let text = regressor().refused([crate::engine::ml::testing::strings(&["a", "b"])]);
    assert!(text.contains("expected an input of numbers"), "{text}");
}

#[test]
fn a_tree_may_be_deep() {
    // One branch after the other, far deeper than any stack.
    let depth = 50_000i64;
    let all: Vec<i64> = (0..=2 * depth).collect();
    let inner = |at: &i64| at % 2 == 0 && *at < 2 * depth;
    let modes: Vec<&str> = all.iter().map(|at| if inner(at) { "BRANCH_LT" } else { "LEAF" }).collect();
    let yes: Vec<i64> = all.iter().map(|at| if inner(at) { at + 1 } else { 0 }).collect();
    let no: Vec<i64> = all.iter().map(|at| if inner(at) { at + 2 } else { 0 }).collect();
    let zeros = vec![0; all.len()];
    let node = node("TreeEnsembleRegressor", 1)
        .int("n_targets", 1)
        .ints("nodes_treeids", &zeros)
        .ints("nodes_nodeids", &all)
        .strings("nodes_modes", &modes)
        .ints("nodes_featureids", &zeros)
        .floats("nodes_values", &vec![0.0; all.len()])
        .ints("nodes_truenodeids", &yes)
        .ints("nodes_falsenodeids", &no)
        .ints("target_treeids", &[0])
        .ints("target_nodeids", &[2 * depth])
        .ints("target_ids", &[0])
        .floats("target_weights", &[3.0]);
    close(&node.run([tensor2(&[[1f32], [-1.0]])]).unwrap()[0], &[3.0, 0.0]);
}

fn proto(values: &[f32]) -> pb::TensorProto {
    pb::TensorProto {
        dims: vec![values.len() as i64],
        data_type: 1,
        float_data: values.to_vec(),
        ..Default::default()
    }
}

fn modes(values: &[i32]) -> pb::TensorProto {
    pb::TensorProto {
        dims: vec![values.len() as i64],
        data_type: 2,
        int32_data: values.to_vec(),
        ..Default::default()
    }
}

/// `x0 in {2, 3}` leads to leaf 0, else `x1 <= 0` to leaf 1, else to leaf 2.
fn modern() -> Node {
    node("TreeEnsemble", 1)
        .ints("tree_roots", &[0])
        .int("n_targets", 2)
        .ints("nodes_featureids", &[0, 1])
        .tensor("nodes_modes", modes(&[6, 0]))
        .tensor("nodes_splits", proto(&[0.0, 0.0]))
        .tensor("membership_values", proto(&[2.0, 3.0, f32::NAN]))
        .ints("nodes_truenodeids", &[0, 1])
        .ints("nodes_trueleafs", &[1, 1])
        .ints("nodes_falsenodeids", &[1, 2])
        .ints("nodes_falseleafs", &[0, 1])
        .ints("leaf_targetids", &[0, 1, 1])
        .tensor("leaf_weights", proto(&[1.0, 2.0, 4.0]))
}

#[test]
fn members_of_a_set_pass() {
    let x = tensor2(&[[2f32, 0.0], [3.0, 0.0], [4.0, 0.0], [4.0, 1.0]]);
    close(&modern().run([x.clone()]).unwrap()[0], &[1.0, 0.0, 1.0, 0.0, 0.0, 2.0, 0.0, 4.0]);
    let maximum = modern().int("aggregate_function", 3).int("post_transform", 2);
    let y = floats(&maximum.run([x]).unwrap()[0]);
    assert!((y[0] - 0.731_058_6).abs() < 1e-6 && y[1] == 0.5, "{y:?}");
}

#[test]
fn modern_lists_are_checked_too() {
    let x = tensor2(&[[2f32, 0.0]]);
    let circle = modern().ints("nodes_falsenodeids", &[0, 2]).refused([x.clone()]);
    assert!(circle.contains("reached twice"), "{circle}");
    let nowhere = modern().ints("nodes_truenodeids", &[7, 1]).refused([x.clone()]);
    assert!(nowhere.contains("leads to leaf 7"), "{nowhere}");
    let root = modern().ints("tree_roots", &[-1]).refused([x.clone()]);
    assert!(root.contains("`tree_roots`: expected a place, found -1"), "{root}");
    let mode = modern().tensor("nodes_modes", modes(&[6, 9])).refused([x.clone()]);
    assert!(mode.contains("`nodes_modes`: expected 0 to 6, found 9"), "{mode}");
    let set = modern().without("membership_values").refused([x.clone()]);
    assert!(set.contains("`membership_values`: expected, found none"), "{set}");
    let short = modern().ints("nodes_trueleafs", &[1]).refused([x.clone()]);
    assert!(short.contains("`nodes_trueleafs`: expected 2 values"), "{short}");
    let liar = pb::TensorProto { dims: vec![1 << 40, 1 << 40], ..proto(&[0.0]) };
    let said = modern().tensor("nodes_splits", liar).refused([x]);
    assert!(said.contains("`nodes_splits`: expected a shape"), "{said}");
}
