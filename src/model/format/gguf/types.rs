//! Element types of GGUF: names, and how many bytes a block of elements takes.
//!
//! Numbers and sizes are those of ggml (`ggml/include/ggml.h`, `enum ggml_type`, and the block
//! structs of `ggml-common.h`). Only the size of what is stored is known here, not how to read it.

/// One element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Type {
    /// Its number in the file.
    number: u32,
    /// Its name, as ggml writes it.
    pub name: &'static str,
    /// How many elements are stored together.
    pub block: u64,
    /// How many bytes they take; 0 where writers do not agree.
    pub bytes: u64,
}

/// The type with a number.
pub(super) fn by_number(number: u32) -> Option<&'static Type> {
    TYPES.iter().find(|t| t.number == number)
}

/// What `general.file_type` says about most of the weights (llama.cpp, `enum llama_ftype`).
pub(super) fn file_type(number: u64) -> Option<&'static str> {
    FILE_TYPES.iter().find(|(n, _)| *n == number).map(|(_, name)| *name)
}

const fn t(number: u32, name: &'static str, block: u64, bytes: u64) -> Type {
    Type { number, name, block, bytes }
}

const TYPES: &[Type] = &[
    t(0, "f32", 1, 4),
    t(1, "f16", 1, 2),
    t(2, "q4_0", 32, 18),
    t(3, "q4_1", 32, 20),
    t(4, "q4_2", 16, 10),
    t(5, "q4_3", 16, 12),
    t(6, "q5_0", 32, 22),
    t(7, "q5_1", 32, 24),
    t(8, "q8_0", 32, 34),
    t(9, "q8_1", 32, 0),
    t(10, "q2_k", 256, 84),
    t(11, "q3_k", 256, 110),
    t(12, "q4_k", 256, 144),
    t(13, "q5_k", 256, 176),
    t(14, "q6_k", 256, 210),
    t(15, "q8_k", 256, 292),
    t(16, "iq2_xxs", 256, 66),
    t(17, "iq2_xs", 256, 74),
    t(18, "iq3_xxs", 256, 98),
    t(19, "iq1_s", 256, 50),
    t(20, "iq4_nl", 32, 18),
    t(21, "iq3_s", 256, 110),
    t(22, "iq2_s", 256, 82),
    t(23, "iq4_xs", 256, 136),
    t(24, "i8", 1, 1),
    t(25, "i16", 1, 2),
    t(26, "i32", 1, 4),
    t(27, "i64", 1, 8),
    t(28, "f64", 1, 8),
    t(29, "iq1_m", 256, 56),
    t(30, "bf16", 1, 2),
    t(31, "q4_0_4_4", 32, 18),
    t(32, "q4_0_4_8", 32, 18),
    t(33, "q4_0_8_8", 32, 18),
    t(34, "tq1_0", 256, 54),
    t(35, "tq2_0", 256, 66),
    t(36, "iq4_nl_4_4", 32, 18),
    t(37, "iq4_nl_4_8", 32, 18),
    t(38, "iq4_nl_8_8", 32, 18),
    t(39, "mxfp4", 32, 17),
    t(40, "nvfp4", 64, 36),
    t(41, "q1_0", 128, 18),
];

const FILE_TYPES: &[(u64, &str)] = &[
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4_MOE"),
    (39, "NVFP4"),
    (40, "Q1_0"),
];
