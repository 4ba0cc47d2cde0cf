use super::Template;

pub(super) const FILES: &[Template] = &[];
