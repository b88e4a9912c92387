//! The few colours of the command line. The stream drops them where nobody sees them, or `NO_COLOR` says so.

use anstyle::{AnsiColor, Style};

/// Headings and what matters most.
pub(super) const BOLD: Style = Style::new().bold();
/// What can be skipped.
pub(super) const DIM: Style = Style::new().dimmed();
/// As it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Somebody should look.
pub(super) const CARE: Style = AnsiColor::Yellow.on_default().bold();
/// Somebody must act.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
