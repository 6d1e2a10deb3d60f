//! The chart, installed for real without a running operator: the rights that it gives, exactly, and the values
//! that it refuses.

mod installed;
mod rights;
mod values;
