//! Contracts of models of images that are not classifiers: bare ones, depth, text from images, and the
//! two halves of CLIP.
//!
//! What is said follows the `forward` methods and the output classes of transformers; a width that a
//! configuration does not hold is left out.

use crate::model::contract::Tensor;
use crate::model::format::huggingface::families::FIXED_IMAGE;
use crate::model::format::huggingface::tasks::{Maker, Sides, tokens};

impl Maker<'_> {
    /// Images as they go in; of one size where the model refuses every other.
    fn pixels(&self, size: Option<[u64; 2]>) -> Tensor {
        let [h, w] = size.map_or([None, None], |[h, w]| [Some(h), Some(w)]);
        let channels = Some(self.config.size(&["num_channels"]).unwrap_or(3));
        self.real("pixel_values", vec![None, channels, h, w])
    }

    /// Models whose bare form gives a row for each piece of the image, and most also one for the whole.
    pub(super) fn pieces(&mut self) -> Sides {
        let width = self.config.hidden();
        let mut outputs = vec![self.real("last_hidden_state", vec![None, None, width])];
        let without = match self.kind {
            "data2vec-vision" | "ijepa" => true,
            "siglip_vision_model" => {
                self.config.get("vision_use_head").is_some_and(|v| v.as_bool() == Some(false))
            }
            _ => false,
        };
        if !without {
            outputs.push(self.real("pooler_output", vec![None, width]));
        }
        Some((vec![self.pixels(None)], outputs))
    }

    /// The width of the last stage: there are as many as `depths`, whatever sizes are listed.
    pub(super) fn last_width(&self) -> Option<u64> {
        let list = |key: &str| self.config.get(key).and_then(|s| s.as_array());
        let sizes = list("hidden_sizes")?;
        let stages = list("depths").map_or(sizes.len(), Vec::len);
        sizes.get(stages.checked_sub(1)?)?.as_u64()
    }

    /// How far away each pixel is.
    pub(super) fn depth(&mut self) -> Sides {
        let outputs = vec![self.real("predicted_depth", vec![None; 3])];
        Some((vec![self.pixels(None)], outputs))
    }

    /// Models whose bare form gives the last of its maps, and most also one number for each of its
    /// channels, of which not every configuration tells how many there are.
    pub(super) fn last_map(&mut self) -> Sides {
        let width = match self.kind {
            "segformer" => self.last_width(),
            "efficientnet" => self.config.size(&["hidden_dim"]),
            _ => None,
        };
        let mut outputs = vec![self.real("last_hidden_state", vec![None, width, None, None])];
        if self.kind != "segformer" {
            outputs.push(self.real("pooler_output", vec![None, width]));
        }
        Some((vec![self.pixels(None)], outputs))
    }

    /// DeiT with a second head, which learned from another model.
    pub(super) fn with_teacher(&mut self) -> Sides {
        let labels = self.config.num_labels();
        let names = ["logits", "cls_logits", "distillation_logits"];
        let outputs = names.map(|n| self.real(n, vec![None, labels])).to_vec();
        Some((vec![self.pixels(self.config.image_size())], outputs))
    }

    /// One half of CLIP, with its projection or without.
    pub(super) fn half_of_clip(&mut self, class: &str) -> Sides {
        let config = self.config;
        let (width, projected) = (config.hidden(), config.size(&["projection_dim"]));
        let text = || vec![tokens("input_ids", 2, false), tokens("attention_mask", 2, true)];
        let last = self.real("last_hidden_state", vec![None, None, width]);
        let pooled = self.real("pooler_output", vec![None, width]);
        let image = self.pixels(config.image_size());
        Some(match class {
            "CLIPTextModel" => (text(), vec![last, pooled]),
            "CLIPTextModelWithProjection" => {
                (text(), vec![self.real("text_embeds", vec![None, projected]), last])
            }
            "CLIPVisionModel" => (vec![image], vec![last, pooled]),
            "CLIPVisionModelWithProjection" => {
                (vec![image], vec![self.real("image_embeds", vec![None, projected]), last])
            }
            _ => return None,
        })
    }

    /// An encoder of one kind and a decoder of text, each with a configuration of its own.
    pub(super) fn pair(&mut self, class: &str) -> Sides {
        let (encoder, decoder) = (self.config.inner("encoder"), self.config.inner("decoder"));
        let words = decoder.size(&["vocab_size"]);
        let kind = encoder.text("model_type").unwrap_or_default().to_owned();
        let decoded = tokens("decoder_input_ids", 2, false);
        // With widths that differ, a layer between the two may come before what is given out.
        let same = encoder.hidden() == decoder.hidden() || decoder.has("cross_attention_hidden_size");
        let width = encoder.hidden().filter(|_| same);
        let state = self.real("encoder_last_hidden_state", vec![None, None, width]);
        let outputs = vec![self.real("logits", vec![None, None, words]), state];
        match class {
            "VisionEncoderDecoderModel" => {
                let size = encoder.image_size().filter(|_| FIXED_IMAGE.contains(&kind.as_str()));
                let [h, w] = size.map_or([None, None], |[h, w]| [Some(h), Some(w)]);
                let channels = Some(encoder.size(&["num_channels"]).unwrap_or(3));
                Some((vec![self.real("pixel_values", vec![None, channels, h, w]), decoded], outputs))
            }
            "EncoderDecoderModel" => Some((
                vec![tokens("input_ids", 2, false), tokens("attention_mask", 2, true), decoded],
                outputs,
            )),
            _ => None,
        }
    }
}
