//! The catalogs inside this program. To ship another one: its file, and a line here.

/// A catalog inside this program.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// What `--catalog` and `catalog show` call it.
    pub name: &'static str,
    /// The document.
    pub text: &'static str,
}

/// All of them.
pub const ALL: &[Shipped] = &[
    Shipped { name: "lab", text: include_str!("../../../runbooks/catalog/lab.yaml") },
    Shipped { name: "pextra-cloud", text: include_str!("../../../runbooks/catalog/pextra-cloud.yaml") },
];

/// The shipped catalog with this name; an ending `.yaml` does not matter.
#[must_use]
pub fn find(name: &str) -> Option<&'static Shipped> {
    let name = name.strip_suffix(".yaml").unwrap_or(name);
    ALL.iter().find(|one| one.name == name)
}
