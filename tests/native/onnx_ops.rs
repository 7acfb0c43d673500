//! Every op and layer that is written, and every form in which operator sets 7 to 22 have it.
#![expect(clippy::print_stdout, reason = "the judge says how far files are off")]

mod judge;

mod layers;

mod reading;

mod writing;
