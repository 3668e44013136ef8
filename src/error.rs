//! How a command ends when it does not end well.
//!
//! A [`Failed`] carries a message that is already complete: it names the file,
//! line or key, says what is wrong and what to do. `main` prints it and leaves
//! with the exit code; nothing above adds to it.

use core::fmt;

/// Exit code of a command that did what it was asked to do.
pub const EXIT_DONE: u8 = 0;

/// Exit code of a command that could not.
pub const EXIT_FAILED: u8 = 1;

/// Exit code of a command that was called wrongly.
pub const EXIT_USAGE: u8 = 2;

/// A command failed; the message says everything that there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// One line or several, without a trailing line break.
    message: String,
    /// One of the `EXIT_` constants.
    exit_code: u8,
}

impl Failed {
    /// The command was understood but could not be carried out.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: EXIT_FAILED,
        }
    }

    /// The command line itself is wrong.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: EXIT_USAGE,
        }
    }

    /// The code that the process ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Failed {}

impl From<crate::config::ConfigError> for Failed {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<crate::load::LoadError> for Failed {
    fn from(error: crate::load::LoadError) -> Self {
        Self::new(error.to_string())
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_kind_of_failure() {
        assert_eq!(Failed::new("no such file").exit_code(), 1);
        assert_eq!(Failed::usage("unknown option").exit_code(), 2);
        assert_eq!(Failed::new("no such file").to_string(), "no such file");
    }
}
