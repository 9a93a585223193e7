//! Values of flags that may hold a password.

use std::ffi::OsStr;
use std::fmt::Display;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

/// Parses a value and never prints it. clap quotes a value that is wrong.
#[derive(Debug)]
pub(super) struct Unquoted<T, E>(pub(super) fn(&str) -> Result<T, E>);

impl<T, E> Clone for Unquoted<T, E> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<T, E> TypedValueParser for Unquoted<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: Display + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, Error> {
        let refuse = |why: &dyn Display| {
            let name = arg.map_or_else(String::new, ToString::to_string);
            let text = format!("the value of {name} {why}");
            command.clone().error(ErrorKind::ValueValidation, text)
        };
        let text = value.to_str().ok_or_else(|| refuse(&"is no text"))?;
        (self.0)(text).map_err(|error| refuse(&error))
    }
}
