//! The few colours of the command line. The stream drops them where nobody sees them, or `NO_COLOR` says so.

use anstyle::{AnsiColor, Style};

/// Headings and what matters most.
pub const BOLD: Style = Style::new().bold();
/// What can be skipped.
pub const DIM: Style = Style::new().dimmed();
/// As it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Somebody should look.
pub const CARE: Style = AnsiColor::Yellow.on_default().bold();
/// Somebody must act.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
