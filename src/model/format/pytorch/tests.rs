//! Tests of the format as a whole; those of the parts are beside them.
