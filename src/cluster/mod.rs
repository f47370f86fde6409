//! Where objects come from, and objects to Intent.
