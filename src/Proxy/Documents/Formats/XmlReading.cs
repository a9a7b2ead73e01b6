using System.Text;
using System.Xml;

namespace Proxy.Documents.Formats;

/// <summary>Reading XML within the limits.</summary>
internal static class XmlReading
{
    /// <summary>Goes to the next node. Throws if elements are nested too deep.</summary>
    public static bool Advance(this XmlReader xml, ReadGuard guard)
    {
        guard.Step();
        if (!xml.Read()) return false;
        if (xml.Depth > DocumentLimits.XmlDepth)
            throw new DocumentException(DocumentFault.Invalid, $"the file has elements of XML nested more than {DocumentLimits.XmlDepth:N0} levels deep");
        return true;
    }

    /// <summary>Goes past the current element and all that it holds; the reader then stands on its end.</summary>
    public static void SkipElement(this XmlReader xml, ReadGuard guard)
    {
        if (xml.IsEmptyElement) return;
        var depth = xml.Depth;
        while (xml.Advance(guard) && (xml.Depth > depth || xml.NodeType != XmlNodeType.EndElement))
        {
        }
    }

    /// <summary>The text of the current element, which holds only text; the reader then stands on its end.</summary>
    public static string ElementText(this XmlReader xml, ReadGuard guard)
    {
        if (xml.IsEmptyElement) return "";
        var depth = xml.Depth;
        var text = new StringBuilder();
        while (xml.Advance(guard) && xml.Depth > depth)
        {
            if (xml.NodeType is XmlNodeType.Text or XmlNodeType.CDATA or XmlNodeType.SignificantWhitespace or XmlNodeType.Whitespace) text.Append(xml.Value);
        }

        return text.ToString();
    }

    /// <summary>The value of an attribute, whatever its namespace's prefix is.</summary>
    public static string? Attribute(this XmlReader xml, string name)
    {
        string? value = null;
        while (xml.MoveToNextAttribute())
        {
            if (xml.LocalName == name) value = xml.Value;
        }

        xml.MoveToElement();
        return value;
    }

    /// <summary>The title in docProps/core.xml of an Office file.</summary>
    public static string? CoreTitle(this PackageFile package, ReadGuard guard)
    {
        using var xml = package.Xml("docProps/core.xml");
        while (xml is not null && xml.Advance(guard))
        {
            if (xml.NodeType == XmlNodeType.Element && xml.LocalName == "title") return xml.ElementText(guard).Trim() is { Length: > 0 } title ? title : null;
        }

        return null;
    }
}
