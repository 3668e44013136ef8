//! The S13 and S13' application (TS 29.272 clauses 6.2 and 7): ME-Identity-Check
//! between an MME or SGSN and the EIR.
//!
//! ```text
//! ECR  < 263 > [301] [260] {277} {264} {296} [293] {283} {1401} [1] *284 *282 *any
//! 1401 [1402] [1471] [1403] *any
//! ECA  < 263 > [301] (268 | 297) {277} {264} {296} [1445] [279] *284 *any
//! ```
//!
//! [`request`] is the view of an ECR, [`form`] reads those that are like one
//! before, [`answer`] composes the ECA. What the IMEI means is not known here.
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

pub mod answer;
pub mod form;
pub mod request;

pub use answer::EquipmentStatus;
pub use form::Forms;
pub use request::IdentityCheckRequest;
