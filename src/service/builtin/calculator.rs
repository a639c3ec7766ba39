//! Arithmetic on 64-bit integers; what does not fit is an error, never a wrong number.

use super::super::generated::v1::calculator::{ADD, DIVIDE, MULTIPLY, REMAINDER, SUBTRACT};
use super::super::generated::v1::{Number, Operands};
use super::super::{Context, Registry, RegistryError, Status};

/// Adds the calculator.
///
/// # Errors
///
/// As [`install`](super::install).
pub fn install(registry: &mut Registry) -> Result<(), RegistryError> {
    registry
        .describe_file(super::DESCRIPTORS, "udprpc/v1/calculator.proto")?
        .add(ADD.inline(checked("+", i64::checked_add)))?
        .add(SUBTRACT.inline(checked("-", i64::checked_sub)))?
        .add(MULTIPLY.inline(checked("×", i64::checked_mul)))?
        .add(DIVIDE.inline(divided("÷", i64::checked_div)))?
        .add(REMAINDER.inline(divided("rem", i64::checked_rem)))?;
    Ok(())
}

/// An operation that can leave the range of a number.
fn checked(
    sign: &'static str,
    operate: fn(i64, i64) -> Option<i64>,
) -> impl Fn(&Context<'_>, Operands) -> Result<Number, Status> {
    move |_, Operands { a, b }| match operate(a, b) {
        Some(value) => Ok(Number { value }),
        None => Err(Status::out_of_range(format!("{a} {sign} {b} does not fit 64 bits"))),
    }
}

/// The same for one that has no result when the second number is zero.
fn divided(
    sign: &'static str,
    operate: fn(i64, i64) -> Option<i64>,
) -> impl Fn(&Context<'_>, Operands) -> Result<Number, Status> {
    let operate = checked(sign, operate);
    move |context, operands| match operands {
        Operands { b: 0, .. } => Err(Status::invalid_argument("division by zero")),
        operands => operate(context, operands),
    }
}
