namespace Proxy.Documents;

/// <summary>Reads the text of documents.</summary>
internal static class DocumentReader
{
    /// <summary>
    /// Reads a document. What the name's extension says is checked against the content. Throws <see cref="DocumentException"/> if it cannot be read.
    /// </summary>
    /// <param name="content">The whole file, seekable. Not disposed.</param>
    /// <param name="name">The file's name; only its extension matters.</param>
    /// <param name="cancellation">Ends the read with an <see cref="OperationCanceledException"/>.</param>
    public static DocumentText Read(Stream content, string name, CancellationToken cancellation)
    {
        _ = (content, name, cancellation);
        throw new NotImplementedException();
    }
}
