//! The style sheet of the SVG: every rule begins with `.bp`, so that a page can hold several pictures.
//!
//! Nothing is told by colour alone: a printed page in black and white says the same.

/// Rules for the picture.
pub(super) const CSS: &str = "\
.bp{background:#fff}\
.bp text{font-family:system-ui,'Segoe UI','Helvetica Neue',Arial,'Liberation Sans',sans-serif;fill:#1b1f24}\
.bp .mono{font-family:ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:11.5px;font-weight:600}\
.bp .title{font-size:20px;font-weight:700}\
.bp .route{font-size:12.5px;fill:#4a525a}\
.bp .figure{font-size:16px;font-weight:700}\
.bp .caption{font-size:10px;fill:#5b646d}\
.bp .head{font-size:13px;font-weight:700}\
.bp .note{font-size:11px;fill:#4a525a}\
.bp .sub{font-size:10px;fill:#4a525a}\
.bp .word{font-size:10px;font-weight:700}\
.bp .pill-text{font-size:9px;font-weight:600;text-anchor:middle}\
.bp .paper{fill:#fff}\
.bp .band{fill:#f4f6f8;stroke:#cfd5da;stroke-width:1}\
.bp .band-back{fill:#fff;stroke:#7b858e;stroke-width:1;stroke-dasharray:5 3}\
.bp .stripe{fill:#343c44}\
.bp .stripe-back{fill:url(#bp-hatch)}\
.bp .box{fill:#fff;stroke:#343c44;stroke-width:1.2}\
.bp .box-strong{stroke-width:2.6;stroke:#000}\
.bp .box-cleanup{stroke-dasharray:4 2.5}\
.bp .inner{fill:none;stroke:#000;stroke-width:.9}\
.bp .down{fill:#000}\
.bp .pill{fill:#fff;stroke:#343c44;stroke-width:.9}\
.bp .pill-dark{fill:#111;stroke:#111}\
.bp .on-dark{fill:#fff}\
.bp .edge{fill:none;stroke:#8a939b;stroke-width:1.2}\
.bp .edge-blocks{stroke:#111;stroke-width:2}\
.bp .tip{fill:#8a939b}\
.bp .tip-blocks{fill:#111}\
.bp .next{fill:#7b858e}\
.bp .badge{fill:#111;stroke:#111}\
.bp .badge-cleanup{fill:#fff;stroke:#111;stroke-dasharray:2.2 1.6}\
.bp .badge-text{font-size:10px;font-weight:700;text-anchor:middle}\
.bp .end{text-anchor:end}\
.bp .s-waiting{fill:#fff3c4}.bp .s-running{fill:#cfe3ff}.bp .s-succeeded{fill:#dcf3e1}.bp .s-failed{fill:#ffd4d0}\
.bp .s-unknown{fill:#ead9f7}.bp .s-skipped{fill:#eee}.bp .s-undone{fill:#ffe3c2}.bp .s-not-run,.bp .s-pending{fill:#fff}\
@media print{.bp .band,.bp .band-back{break-inside:avoid}}";
