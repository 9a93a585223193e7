//! Errors printed with their causes.

use std::error::Error;

/// Formats an error and its causes on one line, joined by `: `.
///
/// Errors of this crate don't repeat the text of their [`source`](Error::source), so that a
/// report that prints the whole chain (anyhow's `{:#}`, or this) has each text once.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_printed_once() {
        let source = nl_ipvs::KernelError::new(nl_ipvs::errno::EPERM);
        let error = nl_ipvs::Error::Refused { doing: "list the services", hint: None, source };
        let error = crate::KernelError::Ipvs { doing: "read the table".into(), error };
        assert_eq!(
            error_chain(&error),
            "can't read the table (IPVS): the kernel refused to list the services: \
             EPERM: not permitted, CAP_NET_ADMIN is needed"
        );
    }
}
