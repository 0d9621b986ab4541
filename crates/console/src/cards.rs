//! Tables on a phone: a row becomes a card, in which each value says what its column is called.
//!
//! Takes a page, hands it on with the heads of columns as `data-label` at the cells below them; the style sheet does the rest.
//! Pages are looked at, never texts from outside: those are escaped, and hold no tag.

/// A page whose cells carry what their columns are called.
pub fn labelled(page: String) -> String {
    if !page.contains("<table") {
        return page;
    }
    let mut made = String::with_capacity(page.len() + page.len() / 8);
    let mut rest = page.as_str();
    while let Some((before, table)) = parted(rest, "<table") {
        let (table, behind) = match table.find("</table>") {
            Some(end) => table.split_at(end),
            None => (table, ""),
        };
        made.push_str(before);
        push_table(&mut made, table);
        rest = behind;
    }
    made.push_str(rest);
    made
}

/// What stands before a word, and the rest from it on.
fn parted<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    text.find(word).map(|at| text.split_at(at))
}

fn push_table(made: &mut String, table: &str) {
    let Some((head, body)) = parted(table, "<tbody") else { return made.push_str(table) };
    let labels: Vec<String> = cells(head).map(|(_, cell)| label(cell)).collect();
    made.push_str(head);
    for (place, row) in body.split("<tr").enumerate() {
        if place > 0 {
            made.push_str("<tr");
        }
        let mut done = 0;
        for ((at, _), label) in cells(row).zip(&labels).filter(|(_, label)| !label.is_empty()) {
            // Behind `<td` or `<th`.
            made.push_str(&row[done..at + 3]);
            made.push_str(" data-label=\"");
            made.push_str(label);
            made.push('"');
            done = at + 3;
        }
        made.push_str(&row[done..]);
    }
}

/// Where each cell begins, and its text from its tag on.
fn cells(row: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_cell = |at: &usize| row[at + 2..].starts_with(['d', 'h']) && row[at + 3..].starts_with([' ', '>']);
    row.match_indices("<t").map(|(at, _)| at).filter(is_cell).map(|at| {
        let cell = &row[at..];
        (at, cell.find("</t").map_or(cell, |end| &cell[..end]))
    })
}

/// What a head says first, as the value of an attribute; nothing where it says nothing that is seen.
fn label(head: &str) -> String {
    if head.contains("class=\"unseen\"") {
        return String::new();
    }
    let head = head.split("<span class=\"also\"").next().unwrap_or(head);
    let texts = head.split('<').skip(1).filter_map(|tag| tag.split_once('>').map(|(_, text)| text));
    texts.collect::<String>().trim().replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cell_says_what_its_column_is_called() {
        let table = |row: &str| {
            format!(
                "<p>a</p><table class=\"wide\"><caption>c</caption><thead><tr><td><input></td><th scope=\"col\">Who</th>\
                 <th scope=\"col\"><a href=\"?s\">May &lt;b&gt;</a></th><th scope=\"col\"><span class=\"unseen\">Acts</span></th>\
                 <th>\"Q\" <span class=\"also\">R</span></th></tr></thead><tbody>{row}</tbody></table><p>b</p>"
            )
        };
        let row = "<tr><td>1</td><th scope=\"row\">anna</th><td class=\"x\">2</td><td>3</td><td>4</td></tr>";
        let expected = "<tr><td>1</td><th data-label=\"Who\" scope=\"row\">anna</th><td data-label=\"May &lt;b&gt;\" class=\"x\">2</td>\
                        <td>3</td><td data-label=\"&quot;Q&quot;\">4</td></tr>";
        assert_eq!(labelled(table(&[row, row].concat())), table(&[expected, expected].concat()));
    }

    #[test]
    fn what_is_no_whole_table_stays_as_it_is() {
        for page in
            ["", "<p>text</p>", "<table><tr><td>1</td></tr></table>", "<table><thead><tr><th>a", "<tr><td>1</td></tr>"]
        {
            assert_eq!(labelled(page.to_owned()), page);
        }
        let open = "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1";
        assert!(labelled(open.to_owned()).contains("<td data-label=\"a\">1"), "and nothing is lost");
        // More cells than heads.
        let more = "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table>";
        assert!(labelled(more.to_owned()).contains("<td data-label=\"a\">1</td><td>2</td>"));
    }
}
