//! Making the common details in a line, and reading their times.

use std::time::Duration;

use super::{
    BadRequest, ErrorInfo, FieldViolation, Help, Link, PreconditionFailure, PreconditionViolation,
    QuotaFailure, QuotaViolation, ResourceInfo, RetryInfo,
};
use crate::service::duration;

impl ErrorInfo {
    /// The cause, as one word in capitals that is unique within a domain, such as
    /// `("KITCHEN_CLOSED", "shop.example")`.
    pub fn new(reason: impl Into<String>, domain: impl Into<String>) -> Self {
        Self { reason: reason.into(), domain: domain.into(), ..Self::default() }
    }

    /// The same with a fact more.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

impl RetryInfo {
    /// Another attempt is of use after this time. One that protobuf cannot write (more than 292
    /// thousand million years) is left out.
    pub fn after(delay: Duration) -> Self {
        Self { retry_delay: delay.try_into().ok() }
    }

    /// How long to wait before another attempt; `None` when it is not said or negative.
    pub fn delay(&self) -> Option<Duration> {
        duration::of_protobuf(self.retry_delay?)
    }
}

impl BadRequest {
    /// One field is wrong: its path in the request, such as `items[2].count`, and why.
    ///
    /// ```
    /// use udp_rpc::service::details::{BadRequest, FieldViolation};
    ///
    /// let bad = BadRequest::field("name", "is empty");
    /// assert_eq!(bad.field_violations, [FieldViolation::new("name", "is empty")]);
    /// ```
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::default().and_field(field, description)
    }

    /// And another.
    #[must_use]
    pub fn and_field(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.field_violations.push(FieldViolation::new(field, description));
        self
    }
}

impl FieldViolation {
    /// A field's path in the request, and what is wrong with it.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into(), ..Self::default() }
    }
}

impl PreconditionFailure {
    /// What kind of precondition does not hold, of what, and why.
    pub fn of(
        kind: impl Into<String>,
        subject: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        let violation = PreconditionViolation {
            r#type: kind.into(),
            subject: subject.into(),
            description: description.into(),
        };
        Self { violations: vec![violation] }
    }
}

impl QuotaFailure {
    /// Whose quota is used up, and which.
    pub fn of(subject: impl Into<String>, description: impl Into<String>) -> Self {
        let (subject, description) = (subject.into(), description.into());
        Self { violations: vec![QuotaViolation { subject, description, ..Default::default() }] }
    }
}

impl ResourceInfo {
    /// What was asked for: its type and its name.
    pub fn new(resource_type: impl Into<String>, resource_name: impl Into<String>) -> Self {
        Self {
            resource_type: resource_type.into(),
            resource_name: resource_name.into(),
            ..Self::default()
        }
    }
}

impl Help {
    /// A page to read.
    pub fn link(description: impl Into<String>, url: impl Into<String>) -> Self {
        Self { links: vec![Link { description: description.into(), url: url.into() }] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_is_read_only_if_it_is_one() {
        let delay = Duration::new(3, 500_000_000);
        assert_eq!(RetryInfo::after(delay).delay(), Some(delay));
        assert_eq!(RetryInfo::after(Duration::MAX).delay(), None);
        assert_eq!(RetryInfo::default().delay(), None);
        for (seconds, nanos) in [(-1, 0), (i64::MIN, i32::MIN), (0, -1)] {
            let retry_delay = Some(prost_types::Duration { seconds, nanos });
            assert_eq!(RetryInfo { retry_delay }.delay(), None);
        }
    }
}
