using System.Globalization;
using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>Reads PPTX: one section for each slide, with its title as heading and the speaker's notes at the end.</summary>
internal static class SlideText
{
    private const string Presentation = "ppt/presentation.xml";

    public static void Read(PackageFile package, BlockList blocks)
    {
        blocks.Title = package.CoreTitle();
        var number = 0;
        foreach (var slide in Slides(package, blocks.Guard))
        {
            blocks.EndSections();
            blocks.Page = ++number;
            Slide(package, slide, blocks, withTitle: true);
            foreach (var relation in package.Relations(slide).Values)
            {
                if (relation.Type == "notesSlide") Slide(package, relation.Name, blocks, withTitle: false);
            }
        }
    }

    /// <summary>The slides in the order in which they are shown.</summary>
    private static List<string> Slides(PackageFile package, ReadGuard guard)
    {
        var relations = package.Relations(Presentation);
        var slides = new List<string>();
        using var xml = package.Xml(Presentation);
        while (xml is not null && xml.Read())
        {
            if (xml.Part != XmlPart.Element || xml.Name != "sldId") continue;
            var id = xml.Attribute("id", withPrefix: true);
            if (id is not null && relations.TryGetValue(id, out var slide) && package.Has(slide.Name)) slides.Add(slide.Name);
        }

        return slides.Count > 0
            ? slides
            : [.. package.Names.Where(static name => name.StartsWith("ppt/slides/slide", StringComparison.OrdinalIgnoreCase)).OrderBy(Number)];
    }

    private static int Number(string name)
    {
        var digits = new string([.. name.Where(char.IsAsciiDigit)]);
        return int.TryParse(digits, CultureInfo.InvariantCulture, out var number) ? number : int.MaxValue;
    }

    private static void Slide(PackageFile package, string name, BlockList blocks, bool withTitle)
    {
        var paragraphs = new List<string>();
        var cells = new List<string>();
        var text = new StringBuilder();
        TableRows? table = null;
        bool isTitle = false, isSkipped = false;
        using var xml = package.Xml(name);
        while (xml is not null && xml.Read())
        {
            var local = xml.Name;
            if (xml.Part == XmlPart.Element)
            {
                if (local == "t") text.Append(xml.Text());
                else if (local == "br") text.Append('\n');
                else if (local == "tbl") table = new(blocks);
                else if (local == "Fallback") xml.Skip();
                else if (local == "ph")
                {
                    var type = xml.Attribute("type");
                    isTitle = withTitle && type is "title" or "ctrTitle";
                    isSkipped = type is "sldNum" or "dt" or "ftr" or "hdr" or "sldImg";
                }
            }
            else if (xml.Part == XmlPart.EndElement)
            {
                if (local == "p") EndParagraph(text, paragraphs);
                else if (local == "sp") EndShape();
                else if (local == "tc") EndCell();
                else if (local == "tr") EndRow();
                else if (local == "tbl") table?.End();
            }
        }

        EndParagraph(text, paragraphs);
        EndShape();

        void EndCell()
        {
            if (cells.Count == DocumentLimits.Columns)
                throw new DocumentException(DocumentFault.Invalid, $"a row has more than {DocumentLimits.Columns:N0} columns");
            cells.Add(string.Join(' ', paragraphs));
            paragraphs.Clear();
        }

        void EndRow()
        {
            table?.Add(cells);
            cells.Clear();
        }

        void EndShape()
        {
            if (isTitle) blocks.Heading(1, string.Join(' ', paragraphs));
            else if (!isSkipped) blocks.Add(string.Join('\n', paragraphs));
            paragraphs.Clear();
            (isTitle, isSkipped) = (false, false);
        }
    }

    private static void EndParagraph(StringBuilder text, List<string> paragraphs)
    {
        if (!string.IsNullOrWhiteSpace(text.ToString())) paragraphs.Add(text.ToString());
        text.Clear();
    }
}
