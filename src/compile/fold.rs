//! A register in force and the changes above it, as a register of its own.

use std::sync::Arc;

use super::{Budget, Heap, Keeper, Progress, Shelf, assemble};
use crate::equipment::{BuildError, Builder, Change, Overlay, Snapshot};

/// Makes a snapshot of another and the changes of an overlay above it, in their
/// order; what is large of it is on a shelf, to be written.
///
/// # Errors
///
/// Where files of what does not fit in memory cannot be written or read, there
/// are too many rules, or the file of the snapshot can no longer be read.
pub(crate) fn fold<'c>(
    base: &Snapshot,
    overlay: &Overlay,
    changes: impl Iterator<Item = &'c Arc<Change>>,
    budget: Budget,
) -> Result<(Snapshot, Shelf), String> {
    let mut heap = Heap::new(budget);
    let mut builder = Builder::new();
    let folded = overlay.fold(base, changes, &mut builder, |builder| {
        heap.take_from(builder, false);
        match heap.has_failed() {
            true => Err(BuildError::Memory),
            false => Ok(()),
        }
    });
    heap.take_from(&mut builder, true);
    heap.finish()?;
    folded.map_err(|error| match error {
        BuildError::Memory => "the file of the snapshot in force can no longer be read".to_owned(),
        error => error.to_string(),
    })?;
    let bound = heap.arrange_bindings()?;
    let files = builder.files_of_sources();
    let keeps_lines = base.has_lines();
    let plan = builder.plan(&files, (heap.digest(), keeps_lines));
    let mut keeper = Keeper::shelf(&heap);
    let mut assembled = assemble(plan, heap, &mut keeper, &Progress::default())?;
    let refusals = core::mem::take(&mut assembled.refusals);
    keeper.shelf.finish(assembled.lines);
    let outline = keeper.shelf.bind(bound);
    let snapshot = builder.finish_assembled(assembled.rules, &refusals, outline);
    Ok((snapshot, keeper.shelf))
}
