use std::collections::BTreeSet;

use super::{Error, Plan};

impl Plan {
    /// Keeps the registries with these names, and no other; they are required then. Without names
    /// nothing changes.
    pub fn only(&mut self, names: &[String]) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            if !self.registries.iter().any(|known| known.name == *name) {
                return Err(Error::NoSuchRegistry {
                    name: name.clone(),
                    known: self
                        .registries
                        .iter()
                        .map(|known| known.name.clone())
                        .collect(),
                });
            }
        }
        self.registries.retain(|known| names.contains(&known.name));
        for registry in &mut self.registries {
            registry.required = true;
        }
        for target in &mut self.targets {
            target
                .destinations
                .retain(|place| names.contains(&place.registry));
            for place in &mut target.destinations {
                place.required = true;
            }
            let places = &target.destinations;
            target.repositories = places
                .iter()
                .map(|place| place.repository.clone())
                .collect();
            target.tags.retain(|tag| {
                let repository = tag.reference.repository();
                places.iter().any(|place| place.repository == *repository)
            });
        }
        let left = self.needed();
        self.targets.retain(|target| left.contains(&target.service));
        for row in &mut self.order {
            row.retain(|service| left.contains(service));
        }
        self.order.retain(|row| !row.is_empty());
        Ok(())
    }

    /// The services that go somewhere, and those that they build on.
    fn needed(&self) -> BTreeSet<String> {
        let goes = self.targets.iter();
        let goes = goes.filter(|target| !target.destinations.is_empty());
        let mut open: Vec<&str> = goes.map(|target| target.service.as_str()).collect();
        let mut needed: BTreeSet<String> = open.iter().map(|name| (*name).to_owned()).collect();
        while let Some(name) = open.pop() {
            let target = self.targets.iter().find(|target| target.service == name);
            for other in target.iter().flat_map(|target| target.build.builds_on()) {
                if needed.insert(other.to_owned()) {
                    open.push(other);
                }
            }
        }
        needed
    }
}
