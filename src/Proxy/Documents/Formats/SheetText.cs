using System.Globalization;
using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>Reads XLSX: a section for each sheet, a block for each row; dates are written as such.</summary>
internal sealed class SheetText
{
    private const string Workbook = "xl/workbook.xml";

    private readonly PackageFile package;
    private readonly BlockList blocks;
    private readonly List<string> shared = [];
    private readonly List<DateShape> shapes = [];
    private bool from1904;

    private SheetText(PackageFile package, BlockList blocks) => (this.package, this.blocks) = (package, blocks);

    /// <summary>How a style shows numbers.</summary>
    private enum DateShape
    {
        Number,
        Date,
        Time,
        DateAndTime,
    }

    public static void Read(PackageFile package, BlockList blocks) => new SheetText(package, blocks).Read();

    private void Read()
    {
        blocks.Title = package.CoreTitle();
        var relations = package.Relations(Workbook);
        SharedTexts(relations.Values.FirstOrDefault(static r => r.Type == "sharedStrings")?.Name ?? "xl/sharedStrings.xml");
        Styles(relations.Values.FirstOrDefault(static r => r.Type == "styles")?.Name ?? "xl/styles.xml");
        var number = 0;
        foreach (var (name, id) in Sheets())
        {
            number++;
            var part = relations.TryGetValue(id, out var relation) ? relation.Name : $"xl/worksheets/sheet{number}.xml";
            blocks.EndSections();
            blocks.Heading(1, name);
            Sheet(part);
        }
    }

    private List<(string Name, string Id)> Sheets()
    {
        var sheets = new List<(string, string)>();
        using var xml = package.Xml(Workbook);
        while (xml is not null && xml.Read())
        {
            if (xml.Part != XmlPart.Element) continue;
            if (xml.Name == "workbookPr") from1904 = xml.Attribute("date1904") is "1" or "true";
            else if (xml.Name == "sheet") sheets.Add((xml.Attribute("name") ?? "", xml.Attribute("id", withPrefix: true) ?? ""));
        }

        return sheets;
    }

    private void SharedTexts(string part)
    {
        using var xml = package.Xml(part);
        var text = new StringBuilder();
        long length = 0;
        while (xml is not null && xml.Read())
        {
            if (xml.Part == XmlPart.Element && xml.Name == "t") text.Append(xml.Text());
            else if (xml.Part == XmlPart.Element && xml.Name == "rPh") xml.Skip();
            else if (xml.Name == "si" && (xml.Part == XmlPart.EndElement || xml.IsEmpty))
            {
                length += text.Length + 16;
                if (length > DocumentLimits.TextLength)
                    throw new DocumentException(
                        DocumentFault.Invalid, $"the workbook has more than {DocumentLimits.TextLength >> 20} million characters of text");
                shared.Add(text.ToString());
                text.Clear();
            }
        }
    }

    /// <summary>Finds which cell styles show a number as a date.</summary>
    private void Styles(string part)
    {
        using var xml = package.Xml(part);
        var custom = new Dictionary<int, DateShape>();
        var inCells = false;
        while (xml is not null && xml.Read())
        {
            if (xml.Name == "cellXfs") inCells = xml.Part == XmlPart.Element;
            if (xml.Part != XmlPart.Element) continue;
            if (!int.TryParse(xml.Attribute("numFmtId"), CultureInfo.InvariantCulture, out var format)) continue;
            if (xml.Name == "numFmt") custom[format] = ShapeOf(xml.Attribute("formatCode") ?? "");
            else if (inCells && xml.Name == "xf") shapes.Add(custom.TryGetValue(format, out var shape) ? shape : BuiltIn(format));
        }
    }

    /// <summary>The formats 14 to 22 and 45 to 47 are dates and times without being listed (ECMA-376, 18.8.30).</summary>
    private static DateShape BuiltIn(int format) => format switch
    {
        >= 14 and <= 17 => DateShape.Date,
        >= 18 and <= 21 or >= 45 and <= 47 => DateShape.Time,
        22 => DateShape.DateAndTime,
        _ => DateShape.Number,
    };

    /// <summary>A format with letters of dates outside of quotation marks and brackets.</summary>
    private static DateShape ShapeOf(string format)
    {
        bool date = false, time = false, quoted = false, bracket = false;
        for (var i = 0; i < format.Length; i++)
        {
            var c = char.ToLowerInvariant(format[i]);
            if (c == '"') quoted = !quoted;
            else if (quoted) continue;
            else if (c == '\\') i++;
            else if (c is '[' or ']') bracket = c == '[';
            else if (bracket) continue;
            else if (c is 'y' or 'd') date = true;
            else if (c is 'h' or 's') time = true;
            else if (c == ';') break;
        }

        return date && time ? DateShape.DateAndTime : date ? DateShape.Date : time ? DateShape.Time : DateShape.Number;
    }

    private void Sheet(string part)
    {
        var rows = new TableRows(blocks);
        var cells = new List<string>();
        var type = "";
        var value = new StringBuilder();
        int column = 0, style = 0;
        using var xml = package.Xml(part);
        while (xml is not null && xml.Read())
        {
            var local = xml.Name;
            if (xml.Part == XmlPart.Element && local == "c")
            {
                type = xml.Attribute("t") ?? "";
                column = Column(xml.Attribute("r")) ?? cells.Count;
                style = int.TryParse(xml.Attribute("s"), CultureInfo.InvariantCulture, out var number) ? number : 0;
                value.Clear();
            }
            else if (xml.Part == XmlPart.Element && local is "v" or "t") value.Append(xml.Text());
            else if (xml.Part == XmlPart.Element && local == "rPh") xml.Skip();
            else if (xml.Part == XmlPart.EndElement && local == "c" && value.Length > 0)
            {
                if (column >= DocumentLimits.Columns)
                    throw new DocumentException(DocumentFault.Invalid, $"a row has more than {DocumentLimits.Columns:N0} columns");
                while (cells.Count <= column) cells.Add("");
                cells[column] = Shown(type, value.ToString(), style);
            }
            else if (xml.Part == XmlPart.EndElement && local == "row")
            {
                rows.Add(cells);
                cells.Clear();
            }
        }

        rows.End();
    }

    /// <summary>The column of a cell's reference, from 0: "C5" is 2.</summary>
    private static int? Column(string? reference)
    {
        var column = 0;
        foreach (var c in reference ?? "")
        {
            if (!char.IsAsciiLetterUpper(c) || column > DocumentLimits.Columns) break;
            column = column * 26 + (c - 'A' + 1);
        }

        return column == 0 ? null : column - 1;
    }

    private string Shown(string type, string value, int style)
    {
        if (type == "s") return int.TryParse(value, CultureInfo.InvariantCulture, out var index) && index >= 0 && index < shared.Count ? shared[index] : "";
        if (type == "b") return value == "1" ? "TRUE" : "FALSE";
        if (type is not ("" or "n") || !double.TryParse(value, CultureInfo.InvariantCulture, out var number)) return value;
        var shape = style >= 0 && style < shapes.Count ? shapes[style] : DateShape.Number;
        return shape == DateShape.Number ? number.ToString("0.###############", CultureInfo.InvariantCulture) : Date(number, shape) ?? value;
    }

    /// <summary>A serial number as a date: days since 1899-12-30, or since 1904-01-01.</summary>
    private string? Date(double serial, DateShape shape)
    {
        if (serial is < 0 or >= 2_958_466) return null;
        var epoch = from1904 ? new DateTime(1904, 1, 1) : new DateTime(1899, 12, 30);
        var moment = epoch.AddSeconds(Math.Round(serial * 86_400));
        var format = shape switch
        {
            DateShape.Time => "HH:mm:ss",
            DateShape.Date => "yyyy-MM-dd",
            _ => "yyyy-MM-dd HH:mm",
        };
        return moment.ToString(format, CultureInfo.InvariantCulture);
    }
}
