//! Who asks: what a request shows of its caller, and what of it is proven. Pure.
pub mod facet;
pub mod identity;
pub mod principal;
pub mod token;
