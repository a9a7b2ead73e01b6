namespace Proxy.Documents.Chunking;

/// <summary>A part of a block that chunks are made of: a sentence, a table's row, a block or line of code.</summary>
/// <param name="Block">The block's index in the document.</param>
/// <param name="From">Where it begins in the block's text; there is no white space around it.</param>
/// <param name="To">Where it ends, exclusive.</param>
/// <param name="Tokens">Its length.</param>
/// <param name="EndsSentence">False for a part of a sentence that was too long for one chunk.</param>
internal readonly record struct Piece(int Block, int From, int To, int Tokens, bool EndsSentence);
