//! Layouts of other tools, kills, and hostile files.
