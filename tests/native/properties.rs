//! What transfer learning promises, on small random networks. Every failure names the network and its seed.

mod added;
mod builder;
mod data;
mod errors;
mod fit;
mod freezing;
mod networks;
mod persistence;
mod settings;
mod sizes;
