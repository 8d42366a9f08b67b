//! See [`source_controller`].

fn main() -> anyhow::Result<()> {
    source_controller::main()
}
