//! Tests of fastai.
