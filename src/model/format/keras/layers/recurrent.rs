//! Layers that go through steps: recurrent ones, and wrappers of other layers along an axis.

use serde_json::Value;

use crate::model::contract::Shape;
use crate::model::format::keras::config::{Layer, list};
use crate::model::format::keras::layers::{Ctx, apply as any, conv};
use crate::model::format::keras::spec::{Args, Spec, times};

/// How many cells of a stack are looked at.
const MAX_CELLS: usize = 1000;

pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let x = args.first();
    match layer.class {
        "LSTM" | "GRU" | "SimpleRNN" | "CuDNNLSTM" | "CuDNNGRU" | "RNN" => {
            let units = units(layer)?;
            let known = x.shape.filter(|s| s.len() == 3 && !layer.flag("time_major"));
            let shape = known.as_ref().map(|s| steps(layer, s, &[Some(units.output)]));
            let turned = layer.inner("cell").is_some_and(|cell| cell.flag("reverse_state_order"));
            let ordered = !turned && (ctx.autocast || ctx.keras == 2 && ctx.minor >= 3);
            let states = units.states.iter().map(|n| {
                // The order of a stack's states was once the other way round, and still may be.
                let n = if units.stacked && !ordered { None } else { Some(*n) };
                known.as_ref().map(|s| vec![s[0], n])
            });
            Some(outputs(ctx, layer, shape, states.collect()))
        }
        "ConvLSTM1D" | "ConvLSTM2D" | "ConvLSTM3D" | "ConvRecurrent2D" => {
            let n = usize::from(layer.class.as_bytes()[8] - b'0');
            let channels = layer.size("filters").or_else(|| layer.size("nb_filter"))?;
            let one = x.shape.as_ref().filter(|s| s.len() == n + 3).and_then(|s| {
                let step = [&s[..1], &s[2..]].concat();
                conv::conv(layer, &step, n, channels)
            });
            let shape = one.as_ref().zip(x.shape.as_ref()).map(|(one, s)| steps(layer, s, &one[1..]));
            Some(outputs(ctx, layer, shape, vec![one.clone(), one]))
        }
        "Bidirectional" => bidirectional(ctx, layer, args),
        "TimeDistributed" => {
            let inner = layer.inner("layer")?;
            let step = x.shape.as_ref().filter(|s| s.len() > 1).map(|s| [&s[..1], &s[2..]].concat());
            let dtype = ctx.cast(layer, x.dtype);
            let inside = any(ctx, &inner, &Args::one(Spec::new(step, dtype)));
            let [out] = inside.as_slice() else { return None };
            let shape = out
                .shape
                .as_ref()
                .filter(|s| !s.is_empty())
                .and_then(|s| Some([&s[..1], &[*x.shape.as_ref()?.get(1)?], &s[1..]].concat()));
            let dtype = if ctx.keras >= 3 { ctx.compute(layer) } else { out.dtype };
            Some(vec![Spec::new(shape, dtype)])
        }
        _ => None,
    }
}

/// One step's shape without the batch as the layer gives it: for the last step, or for all.
fn steps(layer: &Layer<'_>, input: &Shape, step: &[Option<u64>]) -> Shape {
    if layer.flag("return_sequences") { [&input[..2], step].concat() } else { [&input[..1], step].concat() }
}

fn outputs(ctx: &Ctx, layer: &Layer<'_>, shape: Option<Shape>, states: Vec<Option<Shape>>) -> Vec<Spec> {
    let dtype = ctx.compute(layer);
    let mut out = vec![Spec::new(shape, dtype)];
    if layer.flag("return_state") {
        out.extend(states.into_iter().map(|s| Spec::new(s, dtype)));
    }
    out
}

/// How wide the output and the states of a cell are.
struct Units {
    output: u64,
    states: Vec<u64>,
    stacked: bool,
}

fn units(layer: &Layer<'_>) -> Option<Units> {
    let of = |layer: &Layer<'_>| layer.size("units").or_else(|| layer.size("output_dim"));
    let plain = |output, n| Some(Units { output, states: vec![output; n], stacked: false });
    match layer.class {
        "LSTM" | "LSTMCell" | "CuDNNLSTM" => plain(of(layer)?, 2),
        "GRU" | "GRUCell" | "SimpleRNN" | "SimpleRNNCell" | "CuDNNGRU" => plain(of(layer)?, 1),
        "RNN" => {
            let cell = layer.get("cell")?;
            match list(cell) {
                Some(cells) => stack(cells),
                None => cell_units(&Layer::of(cell)?),
            }
        }
        _ => None,
    }
}

fn cell_units(cell: &Layer<'_>) -> Option<Units> {
    if cell.class == "StackedRNNCells" {
        stack(list(cell.get("cells")?)?)
    } else {
        units(cell).filter(|_| cell.class.ends_with("Cell"))
    }
}

/// A stack of plain cells; stacks of stacks are legal, and nobody has them.
fn stack(cells: &[Value]) -> Option<Units> {
    let mut all = Units { output: 0, states: Vec::new(), stacked: true };
    for cell in cells.iter().take(MAX_CELLS) {
        let cell = Layer::of(cell).filter(|c| c.class.ends_with("Cell"))?;
        let one = units(&cell)?;
        all.output = one.output;
        all.states.extend(one.states);
    }
    (!all.states.is_empty() && cells.len() <= MAX_CELLS).then_some(all)
}

/// Both directions: of each output one, merged or side by side.
fn bidirectional(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let inner = layer.inner("layer")?;
    // The states to begin with belong to both, which does not matter to shapes.
    let mut out = any(ctx, &inner, &Args::one(args.first())).into_iter();
    let mut first = out.next()?;
    let states: Vec<Spec> = out.collect();
    let dtype = if ctx.keras >= 3 { ctx.compute(layer) } else { first.dtype };
    first.dtype = dtype;
    let mut all = match layer.text("merge_mode") {
        Some("concat") => {
            if let Some(last) = first.shape.as_mut().and_then(|s| s.last_mut()) {
                *last = times(*last, 2);
            }
            vec![first]
        }
        Some("sum" | "mul" | "ave") => vec![first],
        None => vec![first.clone(), first],
        Some(_) => return None,
    };
    for _ in 0..2 {
        all.extend(states.iter().map(|s| Spec { dtype, ..s.clone() }));
    }
    Some(all)
}
