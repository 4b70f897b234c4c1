//! The handbook as it is read: its parts and their sections.

use anyhow::Result;

/// A part of the handbook whose sections are names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Errors,
    Invalidations,
    Alerts,
}

/// A section: what stands under a name.
#[derive(Debug)]
pub struct Section {
    pub part: Part,
    pub title: String,
    pub text: String,
}

impl Section {
    pub fn is(&self, part: Part, title: &str) -> bool {
        self.part == part && self.title == title
    }
}

/// The whole page.
pub fn text() -> Result<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/handbook.md");
    Ok(std::fs::read_to_string(path)?)
}

/// The sections of all parts that have some, each on one line.
pub fn sections() -> Result<Vec<Section>> {
    let (mut part, mut found) = (None, Vec::<Section>::new());
    for line in text()?.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            part = match heading {
                "Errors" => Some(Part::Errors),
                "Invalidations" => Some(Part::Invalidations),
                "Alerts" => Some(Part::Alerts),
                _ => None,
            };
        } else if let (Some(part), Some(title)) = (part, line.strip_prefix("### ")) {
            found.push(Section {
                part,
                title: title.to_owned(),
                text: String::new(),
            });
        } else if let (Some(part), Some(section)) = (part, found.last_mut())
            && section.part == part
            && !line.is_empty()
        {
            if !section.text.is_empty() {
                section.text.push(' ');
            }
            section.text.push_str(line);
        }
    }
    Ok(found)
}

/// What a link to a heading is.
pub fn anchor(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = title
        .chars()
        .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
