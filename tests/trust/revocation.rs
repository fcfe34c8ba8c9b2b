//! What CRLs say of a chain, and that no fault in a CRL admits a peer.

mod causes;
mod crl_issuers;
mod delta;
mod freshness;
mod handshake;
mod hostile;
mod loading;
mod not_in_force;
mod number;
mod other_ca;
mod paths;
mod refused_lists;
mod rollback;
mod scope;
mod serials;
mod support;
mod unknown;
