//! How many columns the selectors leave, counted from the scores that they keep.

use crate::model::format::sklearn::answer::Dim;
use crate::model::format::sklearn::rules::importances;
use crate::model::format::sklearn::state::Part;

/// The width that a selector leaves; `None` where the class is none that is known.
pub(super) fn width(part: Part<'_>) -> Option<Dim> {
    let generic = |mode: &str| part.name() == "GenericUnivariateSelect" && part.text("mode") == Some(mode);
    let given = |name: &str| match part.name() {
        "GenericUnivariateSelect" => part.attr("param"),
        _ => part.attr(name),
    };
    let scores = || part.attr("scores_").and_then(Part::floats).filter(|s| s.iter().all(|x| !x.is_nan()));
    let chances = || part.attr("pvalues_").and_then(Part::floats);
    let alpha = || given("alpha").and_then(Part::as_float);
    let count = match part.name() {
        "RFE" | "RFECV" => part.count("n_features_"),
        "SequentialFeatureSelector" => part.attr("support_").and_then(Part::count_true),
        // Until 0.21: how often each was chosen.
        "RandomizedLasso" | "RandomizedLogisticRegression" => {
            let least = part.attr("selection_threshold").and_then(Part::as_float);
            scores().zip(least).map(|(all, least)| all.iter().filter(|s| **s > least).count() as u64)
        }
        "SelectFromModel" => importances::left(part),
        "VarianceThreshold" => {
            let least = part.attr("threshold").and_then(Part::as_float);
            part.attr("variances_")
                .and_then(Part::floats)
                .zip(least)
                .map(|(v, least)| v.iter().filter(|v| **v > least).count() as u64)
        }
        name if name == "SelectKBest" || generic("k_best") => {
            let all = part.dim("scores_", 0);
            match given("k") {
                Some(k) if k.as_text() == Some("all") => all,
                Some(k) => k.as_count().zip(all).map(|(k, all)| k.min(all)),
                None => None,
            }
        }
        name if name == "SelectPercentile" || generic("percentile") => {
            given("percentile").and_then(Part::as_float).and_then(|share| best(scores()?, share))
        }
        name if name == "SelectFpr" || generic("fpr") => below(chances(), alpha()),
        name if name == "SelectFwe" || generic("fwe") => {
            let all = chances();
            let each = alpha().zip(all.as_ref()).map(|(a, all)| a / all.len() as f64);
            below(all, each)
        }
        name if name == "SelectFdr" || generic("fdr") => {
            chances().zip(alpha()).map(|(all, alpha)| discoveries(&all, alpha))
        }
        "GenericUnivariateSelect" => None,
        _ => return None,
    };
    Some(count.into())
}

fn below(all: Option<Vec<f64>>, least: Option<f64>) -> Option<u64> {
    let (all, least) = all.zip(least)?;
    Some(all.iter().filter(|p| **p < least).count() as u64)
}

/// Benjamini and Hochberg's procedure, as in `SelectFdr._get_support_mask`.
fn discoveries(all: &[f64], alpha: f64) -> u64 {
    let n = all.len() as f64;
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.iter().enumerate().rfind(|(k, p)| **p <= alpha / n * (*k as f64 + 1.0));
    last.map_or(0, |(_, most)| all.iter().filter(|p| *p <= most).count() as u64)
}

/// The best share in percent, as in `SelectPercentile._get_support_mask`; `None` where rounding
/// would decide.
fn best(mut scores: Vec<f64>, share: f64) -> Option<u64> {
    let n = scores.len();
    if share >= 100.0 {
        return Some(n as u64);
    }
    if share <= 0.0 || n == 0 {
        return (share == 0.0).then_some(0);
    }
    scores.sort_by(f64::total_cmp);
    let place = (100.0 - share) / 100.0 * (n - 1) as f64;
    let (lower, rest) = (place.floor(), place - place.floor());
    let lower = lower as usize;
    // So near to a score, rounding decides.
    if rest > 0.0 && !(1e-9..=1.0 - 1e-9).contains(&rest) {
        return None;
    }
    if rest > 0.0 {
        // The limit lies between two scores.
        return (scores[lower] < *scores.get(lower + 1)?).then(|| (n - lower - 1) as u64);
    }
    let limit = scores[lower];
    let over = scores.iter().filter(|s| **s > limit).count();
    let ties = scores.iter().filter(|s| **s == limit).count();
    let most = (n as f64 * share / 100.0) as usize;
    Some((over + ties.min(most.saturating_sub(over))) as u64)
}
