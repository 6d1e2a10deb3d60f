//! Tables as kubectl prints them: no lines, columns apart by spaces; too wide ones wrap inside their cells.

use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, TableStyle};

use super::paint::{Paint, Tone};

const INDENT: &str = "  ";

/// One column of a table.
#[derive(Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    /// Numbers stand at the right.
    pub number: bool,
    /// May break into several lines where the page is narrow; the others stay whole.
    pub breaks: bool,
}

pub const fn text(title: &'static str) -> Column {
    Column { title, number: false, breaks: false }
}

pub const fn breaking(title: &'static str) -> Column {
    Column { title, number: false, breaks: true }
}

pub const fn number(title: &'static str) -> Column {
    Column { title, number: true, breaks: false }
}

/// Text of a cell and what its colour says.
pub type Field = (String, Tone);

pub fn plain(text: impl Into<String>) -> Field {
    (text.into(), Tone::Plain)
}

/// Renders the rows under their titles as a part of a page: indented, at most `width` wide, each line ended by a
/// newline. Columns in which every cell is empty are left out.
pub fn render(columns: &[Column], rows: &[Vec<Field>], width: u16, paint: Paint) -> String {
    let inner = width.saturating_sub(2);
    lines(columns, rows, inner, paint).iter().map(|line| format!("{INDENT}{line}\n")).collect()
}

/// The lines of the table, from the first column of the page.
pub fn lines(columns: &[Column], rows: &[Vec<Field>], width: u16, paint: Paint) -> Vec<String> {
    let used: Vec<usize> = (0..columns.len())
        .filter(|&i| rows.iter().any(|row| row.get(i).is_some_and(|(text, _)| !text.is_empty())))
        .collect();
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    match paint {
        Paint::On => table.enforce_styling(),
        Paint::Off => table.force_no_tty(),
    };
    table.set_header(
        used.iter()
            .map(|&i| Cell::new(columns[i].title).fg(comfy_table::Color::DarkGrey))
            .collect::<Vec<_>>(),
    );
    for row in rows {
        table.add_row(used.iter().map(|&i| cell(&row[i])).collect::<Vec<_>>());
    }
    for (position, &i) in used.iter().enumerate() {
        let last = position + 1 == used.len();
        if let Some(column) = table.column_mut(position) {
            column.set_padding((0, if last { 0 } else { 2 }));
            if columns[i].number {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if !columns[i].breaks {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn cell((text, tone): &Field) -> Cell {
    let cell = Cell::new(text);
    match tone.color() {
        Some(color) if *tone == Tone::Bad => cell.fg(color).add_attribute(Attribute::Bold),
        Some(color) => cell.fg(color),
        None => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [text("NAME"), number("COUNT"), breaking("NOTE")];

    #[test]
    fn columns_line_up_and_empty_ones_are_left_out() {
        let rows =
            [vec![plain("a"), plain("9,204"), plain("")], vec![plain("long-name"), plain("3"), plain("")]];
        let text = render(&COLUMNS, &rows, 80, Paint::Off);
        assert_eq!(text, "  NAME       COUNT\n  a          9,204\n  long-name      3\n");
    }

    #[test]
    fn wide_cells_wrap_within_the_width() {
        let rows = [vec![plain("a"), plain("1"), plain("a long note that does not fit into the line")]];
        let text = render(&COLUMNS, &rows, 30, Paint::Off);
        assert!(text.lines().all(|line| line.chars().count() <= 30), "{text}");
        assert!(text.contains("a long note"), "{text}");
    }

    #[test]
    fn colours_are_there_only_when_asked_for() {
        let rows = [vec![("a".to_owned(), Tone::Bad), plain("1"), plain("x")]];
        assert!(render(&COLUMNS, &rows, 80, Paint::On).contains("\x1b["));
        assert!(!render(&COLUMNS, &rows, 80, Paint::Off).contains('\x1b'));
    }
}
