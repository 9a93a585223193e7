//! Marathons that are configured twice under different URLs.

use std::collections::BTreeMap;

use super::View;

impl View {
    /// Describes the sources that are one Marathon: Mesos gives each a framework id of its own.
    pub(crate) fn describe_twins(&self) -> Vec<String> {
        let mut by_framework: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for (name, source) in &self.sources {
            if let Some(framework) = &source.framework {
                by_framework.entry(framework).or_default().push(name.as_str());
            }
        }
        let twins = by_framework.into_iter().filter(|(_, names)| names.len() > 1);
        let twins = twins.map(|(framework, names)| {
            format!(
                "{} are one Marathon with the framework id {framework}: its tasks count twice; \
                 leave all but one out of the configuration",
                names.join(" and ")
            )
        });
        twins.collect()
    }
}
