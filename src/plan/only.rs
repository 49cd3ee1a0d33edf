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
        self.targets
            .retain(|target| !target.destinations.is_empty());
        let left: Vec<&str> = self
            .targets
            .iter()
            .map(|target| target.service.as_str())
            .collect();
        for row in &mut self.order {
            row.retain(|service| left.contains(&service.as_str()));
        }
        self.order.retain(|row| !row.is_empty());
        Ok(())
    }
}
