use crate::support::World;
#[allow(unused)]
fn x(_: World) {}
